"""The generated modules, by short names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "gen"))

from google.protobuf import duration_pb2 as duration
from google.rpc import error_details_pb2 as error_details
from holdfast.admin.v1 import config_service_pb2 as admin
from holdfast.admin.v1 import config_service_pb2_grpc as admin_rpc
from holdfast.config.v1 import resource_pb2 as resource
from holdfast.sync.v1 import snapshot_file_pb2 as snapshot_file
from holdfast.sync.v1 import sync_pb2 as sync
from holdfast.sync.v1 import sync_pb2_grpc as sync_rpc

__all__ = [
    "admin",
    "admin_rpc",
    "duration",
    "error_details",
    "resource",
    "snapshot_file",
    "sync",
    "sync_rpc",
]
