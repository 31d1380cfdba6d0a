"""``python -m circuitprobe``."""

from circuitprobe.shell import main

main()
