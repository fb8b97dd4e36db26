package transport

// WithShards makes shared streams of t use another shard for every few members.
func WithShards(t *Websocket, members int) *Websocket {
	t.audiences.shardMembers = members
	return t
}
