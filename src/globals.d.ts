// The declarations of @connectrpc/connect use this name as a global; Node 20's types do not declare it.
type HeadersInit = import("undici-types").HeadersInit;
