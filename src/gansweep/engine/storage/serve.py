"""`python -m gansweep.engine.storage.serve WHERE`: Optuna's proxy before one storage.

WHERE is a journal file, sqlite:////PATH or postgresql://USER@HOST/DATABASE. Start the sweeps with
storage=grpc://HOST:PORT, on any host that reaches this one.
"""

import argparse
import importlib
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gansweep.engine.storage.disk import writing
from gansweep.engine.storage.storage import serve_storage
from gansweep.errors import UserError

THREADS = 10  # calls that are answered at once


def main() -> int:
    """Serve until it is asked to stop; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gansweep.engine.storage.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("where", help="for a journal file: a path on a disk of this host")
    parser.add_argument("--host", default="localhost", help="0.0.0.0: reachable from other hosts")
    parser.add_argument("--port", type=int, default=13000)
    given = parser.parse_args()
    try:
        return serve(given.where, given.host, given.port)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def serve(where: str, host: str, port: int) -> int:
    """Answer until SIGINT or SIGTERM.

    Raises: UserError if the storage cannot be opened, or the address is taken.
    """
    if not 0 < port < 65536:
        raise UserError(f"--port {port} is no port. Use one from 1024 to 65535.")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would write pages beside our errors
    try:
        grpc: Any = importlib.import_module("grpc")
        from optuna.storages._grpc.auto_generated import api_pb2_grpc
        from optuna.storages._grpc.servicer import OptunaStorageProxyService
    except ImportError as error:
        raise UserError(
            "The proxy needs the packages grpcio and protobuf. Install them with "
            "`pip install 'gansweep[grpc]'`."
        ) from error
    # by default two servers may share a port, and a sweep would be stored in two places
    alone = [("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=alone)
    with writing(Path(where), ", or serve another file."):
        service = OptunaStorageProxyService(serve_storage(where))
    api_pb2_grpc.add_StorageServiceServicer_to_server(service, server)
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise UserError(
            f"{host}:{port} cannot be bound: something listens there already, or it is no address "
            "of this host. Use another --port, or --host 0.0.0.0 for every address."
        ) from error

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop(grace=1))
    server.start()
    reached_by = socket.gethostname() if host in ("0.0.0.0", "::", "[::]") else host
    print(f"{where} is served. Start sweeps with storage=grpc://{reached_by}:{port}", flush=True)
    server.wait_for_termination()
    return 0


if __name__ == "__main__":
    sys.exit(main())
