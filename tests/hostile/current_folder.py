"""Python files in the current folder that are called like what the program imports; each leaves a canary when it is imported."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import torch

from hostile.bombs import picture
from hostile.corpus import CANARY, Harmless
from hostile.pickles import diffusers, pythae

PLANTED = (
    "pythae",
    "diffusers",
    "huggingface_hub",
    "torch",
    "numpy",
    "sympy",
    "yaml",
    "random",
    "sitecustomize",
    "usercustomize",
    "pandas",
    "scipy",
    "sklearn",
    "pyarrow",
    "safetensors",
    "PIL",
    "transformers",
    "accelerate",
    "xformers",
    "flax",
    "jax",
    "tensorflow",
    "scvi",
    "anndata",
    "ctgan",
    "synthcity",
    "sdv",
    "rdt",
    "imageio",
    "requests",
    "cloudpickle",
    "dill",
    "evil",
    "hubconf",
    "conftest",
    "setup",
)
"""Names of modules; a folder's are packages."""
LEAVES = f"open(__file__ + '.{CANARY}', 'w').write('imported')\n"


def planted(folder: Path, *, packages: bool = False) -> None:
    """Fill a folder with modules, or packages, that leave a canary."""
    for name in PLANTED:
        file = folder / name / "__init__.py" if packages else folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(LEAVES)


def imported(folder: Path) -> list[str]:
    """Which of them were."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(f"*.{CANARY}"))


def typed(how: str) -> list[str]:
    """The program as users start it."""
    script = Path(sys.executable).with_name("circuitprobe")
    return [str(script)] if how == "console script" else [sys.executable, "-m", "circuitprobe"]


def run(folder: Path, how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder, in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*typed(how), *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def pythae_folder(folder: Path) -> None:
    from pythae.models import VAE, VAEConfig

    torch.manual_seed(0)
    VAE(VAEConfig(input_dim=(6,), latent_dim=2)).save(str(folder / "saved"))


def diffusers_folder(folder: Path) -> None:
    import diffusers as library

    torch.manual_seed(0)
    settings = {"block_out_channels": (8,), "latent_channels": 2, "norm_num_groups": 4, "sample_size": 16}
    library.AutoencoderKL(in_channels=1, out_channels=1, **settings).save_pretrained(folder / "saved")


def pythae_of_own_classes(folder: Path) -> None:
    """A pickle that asks for a module which lies in the current folder."""
    pythae(encoder_pkl=b"cevil\nEncoder\n)\x81.")(folder / "saved", NOTHING)


def pythae_with_environment(folder: Path) -> None:
    pythae()(folder / "saved", NOTHING)
    (folder / "saved" / "evil.py").write_text(LEAVES)
    value = json.loads((folder / "saved" / "model_config.json").read_text())
    (folder / "saved" / "model_config.json").write_text(json.dumps(value | {"name": "evilConfig", "module": "evil"}))


def diffusers_of_own_code(folder: Path) -> None:
    diffusers("diffusion_pytorch_model.bin", b"1")(folder / "saved", NOTHING)
    value = json.loads((folder / "saved" / "config.json").read_text())
    own = {"auto_map": {"AutoModel": "evil.Evil"}, "_class_name": ["evil", "Evil"]}
    (folder / "saved" / "evil.py").write_text(LEAVES)
    (folder / "saved" / "config.json").write_text(json.dumps(value | own))


def pickled_module(folder: Path) -> None:
    (folder / "saved").write_bytes(b"\x80\x02cevil\nModel\n)\x81}X\x01\x00\x00\x00aK\x01sb.")


def scvi_folder(folder: Path) -> None:
    (folder / "saved").mkdir()
    parts = {
        "model_state_dict": {"w": torch.ones(1)},
        "var_names": ["a"],
        "attr_dict": {"registry_": {"model_name": "evil"}},
    }
    torch.save(parts, folder / "saved" / "model.pt")


def exported_program(folder: Path) -> None:
    from hostile.exported import exported

    (folder / "saved").write_bytes(exported())


NOTHING = Harmless(*[Path()] * 6)
MODELS = {
    "pythae's folder": pythae_folder,
    "diffusers' folder": diffusers_folder,
    "pythae's folder with a class of its own": pythae_of_own_classes,
    "pythae's folder with settings of its own": pythae_with_environment,
    "diffusers' folder with code of its own": diffusers_of_own_code,
    "a pickled module": pickled_module,
    "scvi's folder": scvi_folder,
    "an exported program": exported_program,
}
"""What writes a model called ``saved`` into a folder; some are refused, and none may import what lies there."""
WHOLE = ("pythae's folder", "diffusers' folder", "an exported program")
"""Those that load."""


def pictures(folder: Path) -> None:
    """A folder of two pictures, which Pillow opens."""
    (folder / "pictures").mkdir()
    for number in range(2):
        (folder / "pictures" / f"{number}.png").write_bytes(grey(number))


def grey(value: int) -> bytes:
    """A picture of 8 x 8 as Pillow reads it whole."""
    plain = picture(8, 8, 0, 8)
    start = plain[:33]
    data = zlib.compress((b"\0" + bytes([value] * 8)) * 8)
    chunks = ((b"IDAT", data), (b"IEND", b""))
    return start + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
