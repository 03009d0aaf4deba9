"""A gRPC server that answers every call of /test.Service/Name with its own name.

Started with that name; prints the port that it got. Ends when it is killed.
"""

import sys
from concurrent import futures

import grpc


def main() -> None:
    name = sys.argv[1].encode()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    method = grpc.unary_unary_rpc_method_handler(lambda request, context: name)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Name": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"port {port}", flush=True)
    server.wait_for_termination()


main()
