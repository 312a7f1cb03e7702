"""The processes of an emulated deployment: started, listened to, never left behind."""
