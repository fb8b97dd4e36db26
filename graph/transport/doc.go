// Package transport carries GraphQL operations between the network and the executor.
//
// It owns four ways in, each a [graphql.Transport]: [POST] and [GET] speak GraphQL-over-HTTP, [SSE] speaks graphql-sse,
// [Websocket] speaks graphql-transport-ws; [Fallback] answers every other method, and [Registry] knows the open sockets
// and streams and drains them.
// It is the only package that imports gorilla/websocket.
//
// It refuses to know what an operation means. Cost, rate and depth limits, persisted documents and the presentation of
// resolver errors belong to extensions of the executor; who is calling is decided by the functions given to Websocket
// and by the HTTP server in front.
//
// Invariants:
//   - A request that was not executed is answered without a data key.
//   - Nothing a client sent is repeated in the text of an error made here.
//   - An answer carries at most [MaxErrors] errors.
//   - No input makes the work of reading it exceed its capped length: JSON deeper than 64 levels, with a key given
//     twice or with trailing data is refused while it is read.
//   - Every write to a socket or stream has a deadline, and it holds at most one undelivered event per operation: an
//     operation's next event is pulled only after the one before it was written. Slow consumers cost themselves.
//   - An operation that shares its stream is executed once for all its members, as nobody. What waits for a member is
//     bounded: beyond that it is dropped, and the member begins anew with a whole picture. No member waits for another.
//   - An answer may be stored by others only when GET's rule said so beforehand and nothing went wrong; it then holds the
//     data alone. Streams are not compressed.
//   - When Do returns, no goroutine, context or connection of that exchange is left.
//
// What every answer shares (negotiation, status, encoding, compression) is in negotiate.go, respond.go and compress.go,
// what every way in shares (parameters, admission of an operation) in decode.go and operation.go. Another way in is one
// more file on top of those. What the sockets write goes through line.go, and shared streams are in audience.go and
// sharing.go.
package transport
