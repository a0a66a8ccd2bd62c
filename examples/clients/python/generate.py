"""Makes the modules in gen/ from the .proto files: what `python -m grpc_tools.protoc` does, for all of them."""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

here = Path(__file__).parent
protos = here / "../../../proto"
vendored = here / "../../../proto_vendor"
out = here / "gen"

shutil.rmtree(out, ignore_errors=True)
out.mkdir()
sys.exit(
    protoc.main(
        [
            "protoc",
            f"-I{protos}",
            f"-I{vendored}",
            # google/protobuf/*.proto
            f"-I{files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *map(str, sorted(protos.rglob("*.proto"))),
            str(vendored / "buf/validate/validate.proto"),
        ]
    )
)
