"""What every test stands on: it measures no machine, and an interrupt reaches the children."""

import signal

from hypothesis import HealthCheck, settings

# on a busy machine an example may take any time; CI's own profile stays what this builds on
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# Started by nohup or as a job of a script, SIGINT is ignored, and children would inherit that; some
# tests interrupt theirs. With a handler here, exec gives each child the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
