"""Model families: one file per library, matched by class name, so that nothing is imported that is not installed."""

from circuitprobe.adapters.families.adapter import Adapter, FolderLoader
from circuitprobe.adapters.families.registry import adapted, folder_adapter, load_from_folder

__all__ = ["Adapter", "FolderLoader", "adapted", "folder_adapter", "load_from_folder"]
