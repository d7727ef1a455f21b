"""What `gansweep export` is asked for, readable without PyTorch."""

from dataclasses import dataclass

from gansweep.inference.request import Use

FORMATS = ("onnx", "torch_export", "safetensors")


@dataclass(frozen=True)
class Export:
    """formats: of FORMATS; safetensors is always written, for `load_run`.

    licence: of the model, in the words of Hugging Face's header.
    """

    use: Use
    formats: tuple[str, ...]
    licence: str = "other"
