"""torch._dynamo is imported by the first who compiles, and is then all that it would have been."""

import subprocess
import sys
import textwrap

STACK = """
import sys
from gansweep.run.quick_imports import quick_imports
with quick_imports():
    import torch
    import pytorch_lightning as pl
    import gansweep.run.train
from torch import nn

def is_real():
    return "torch._dynamo.eval_frame" in sys.modules
"""


def succeeds(script: str) -> None:
    """In a process that has the training stack and nothing else."""
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", STACK + textwrap.dedent(script)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_step_imports_nothing_and_compiling_does() -> None:
    succeeds("""
    from lightning_fabric.wrappers import OptimizedModule, _unwrap_compiled
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters())
    inputs = torch.ones(3, 2)

    def step(one):
        optimizer.zero_grad()
        one(inputs).square().mean().backward()
        optimizer.step()

    step(network)
    optimizer.load_state_dict(optimizer.state_dict())
    assert _unwrap_compiled(network)[0] is network and not isinstance(network, OptimizedModule)
    assert "disable" in dir(torch._dynamo) and not hasattr(torch._dynamo, "__wrapped__")

    @torch._dynamo.disable
    def untraced(x):
        return x + torch.compiler.is_compiling()

    assert untraced(inputs).equal(inputs) and untraced.__name__ == "untraced"
    assert not is_real()

    compiled = torch.compile(network, backend="eager")
    assert is_real() and isinstance(compiled, OptimizedModule)
    assert isinstance(compiled, torch._dynamo.OptimizedModule)
    assert _unwrap_compiled(compiled)[0] is network
    assert torch.equal(compiled(inputs), network(inputs))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    step(compiled)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})

    assert untraced(inputs).equal(inputs)
    assert torch.compile(lambda x: untraced(x) * 2, backend="eager")(inputs).equal(2 * inputs)
    assert isinstance(torch._dynamo.disable(nn.Linear(1, 1)), nn.Module)

    from torchvision.ops import roi_align
    assert roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]), 1).shape[0] == 1
    """)


def test_a_module_of_it_is_imported_once() -> None:
    succeeds("""
    import torch._dynamo as stand_in
    files = []
    sys.setprofile(lambda frame, event, _: event == "call" and files.append(frame.f_code)
        if frame.f_code.co_name == "<module>" else None)
    import torch._dynamo.decorators as imported
    sys.setprofile(None)
    assert [one.co_filename for one in files].count(imported.__file__) == 1 and is_real()
    assert imported is torch._dynamo.decorators is stand_in.decorators
    assert imported is sys.modules[imported.__name__]
    assert stand_in is not torch._dynamo and torch._dynamo.config is stand_in.config
    assert stand_in.OptimizedModule is torch._dynamo.OptimizedModule
    assert imported.__spec__.origin == imported.__file__
    """)
