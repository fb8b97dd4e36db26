package notify

// Needs names the data of a kind.
func Needs(kind Kind) []string {
	data, _ := needs(kind)
	return data
}
