"""``python -m circuitprobe``."""

from circuitprobe.import_path import leave_out_current_folder

leave_out_current_folder()

from circuitprobe.shell import main  # noqa: E402 - nothing before the line above

main()
