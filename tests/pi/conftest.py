collect_ignore = ["guest"]  # these are tests inside the guest
