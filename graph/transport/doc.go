// Package transport carries GraphQL operations between the network and the executor.
//
// It owns three ways in, each a [graphql.Transport]: [POST] and [GET] speak GraphQL-over-HTTP, [Websocket] speaks
// graphql-transport-ws; [Fallback] answers every other method, and [Registry] knows the open sockets and drains them.
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
//   - Every write to a socket has a deadline, and a socket holds at most one undelivered event per operation: an
//     operation's next event is pulled only after the one before it was written. Slow consumers cost themselves.
//   - When Do returns, no goroutine, context or connection of that exchange is left.
//
// What every answer shares (negotiation, status, encoding) is in negotiate.go and respond.go, what every way in shares
// (parameters, admission of an operation) in decode.go and operation.go. Another way in, such as server-sent events,
// is one more file on top of those.
package transport
