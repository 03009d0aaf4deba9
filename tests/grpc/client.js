// gRPC's own xDS client for Node: calls xds:///service again and again, and prints each answer on a line.
//
// Finds the xDS server through GRPC_XDS_BOOTSTRAP_CONFIG. A line is `ok NAME` or `error CODE DETAILS`; with
// the argument `wait`, a call waits until the first configuration is there.

const grpc = require("@grpc/grpc-js");
require("@grpc/grpc-js-xds").register();

const [target, mode] = process.argv.slice(2);
const client = new grpc.Client(target, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata({ waitForReady: mode === "wait" });
const same = (bytes) => bytes;

function call() {
  const options = { deadline: Date.now() + 20_000 };
  client.makeUnaryRequest("/test.Service/Name", same, same, Buffer.alloc(0), metadata, options, (error, name) => {
    console.log(error ? `error ${grpc.status[error.code]} ${error.details}` : `ok ${name}`);
    setTimeout(call, 10);
  });
}

call();
