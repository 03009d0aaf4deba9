"""gRPC's own xDS client: calls xds:///service again and again, and prints each answer on a line.

Finds the xDS server through GRPC_XDS_BOOTSTRAP_CONFIG. A line is `ok NAME` or `error CODE DETAILS`; with the
argument `wait`, a call waits until the first configuration is there.
"""

import sys
import time

import grpc


def main() -> None:
    target = sys.argv[1]
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/test.Service/Name")
        while True:
            try:
                print("ok", call(b"", timeout=20, wait_for_ready="wait" in sys.argv).decode(), flush=True)
            except grpc.RpcError as error:
                print("error", error.code().name, error.details(), flush=True)
            time.sleep(0.01)


main()
