"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        help="Model file: a circuitprobe or Lightning checkpoint, a state_dict, safetensors, TorchScript, torch.export, "
        "a pickled module; or the folder of pythae, scvi-tools or diffusers."
    ),
]
Spec = Annotated[Path | None, typer.Option(help="TOML file that names encoder and decoder.")]
Factory = Annotated[
    str | None,
    typer.Option(
        help="package.module:function or file.py:function that builds the model whose weights the file holds."
    ),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run code that the model file brings: pickles, TorchScript, library folders."),
]
Imports = Annotated[
    list[Path] | None,
    typer.Option(
        "--import", help="Python file with classes of a pickled model or object; may be repeated; with --trust."
    ),
]
Entry = Annotated[
    str | None,
    typer.Option(
        help="Which model or state_dict, where the file holds several: an attribute, such as steps.vae.model, or a key."
    ),
]
Rows = Annotated[
    str,
    typer.Argument(
        help="Table (CSV, Parquet), images (.npz, .npy, .pt, a folder of PNG or JPEG), or a benchmark: adult, default_credit, "
        "german_credit, wine_quality; dsprites."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Seed = Annotated[int, typer.Option(help="Of every random draw.", min=0, max=2**32 - 1)]
SchemaFile = Annotated[Path | None, typer.Option("--schema", help="TOML file that says what the columns are.")]
Groups = Annotated[Path | None, typer.Option(help="TOML file with feature groups; default: clustered.")]
AuditRows = Annotated[int, typer.Option(help="How many rows are audited at most.", min=2)]
Levels = Annotated[str, typer.Option(help="1 inputs, 2 latents, 3 units and paths, 4 mediation.")]
Target = Annotated[str | None, typer.Option(help="Label column, never a feature; for dsprites a factor.")]
Condition = Annotated[
    str | None, typer.Option(help="Columns that condition encoder and decoder, with commas between; no features.")
]
Ignore = Annotated[
    list[str] | None, typer.Option(help="Column that is left out of the table, such as an index; may be repeated.")
]
ArrayName = Annotated[str | None, typer.Option("--array", help="Which array of an .npz or .pt file holds the rows.")]
Grid = Annotated[int | None, typer.Option(help="Patches per side of an image; default 8.", min=1)]
Pixels = Annotated[
    str | None, typer.Option(help="Intensities that the model takes: unit, signed or bytes; default: found by trying.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
