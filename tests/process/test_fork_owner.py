"""ForkedError names the process that made the ring, not the child that touched it."""

import subprocess
import sys

PROGRAM = """
import os
import ringbus

class Tick(ringbus.Event):
    price: float

ring = ringbus.RingBuffer(Tick, capacity=8)
owner = os.getpid()
child = os.fork()
if child == 0:
    try:
        ring.publish(price=1.0)
    except ringbus.ForkedError as error:
        os._exit(0 if error.pid == owner and str(owner) in str(error) else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_the_error_in_a_child_names_the_process_that_made_the_ring():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=True)
    assert done.stdout.strip() == "0"
