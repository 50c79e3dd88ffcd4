package leakscan

// Secret is a further key of the case's, of 32 bytes, for what belongs to its scans
// and isn't the index: gone with the case's key as all of them are.
func (k *Keys) Secret(label string) []byte { return derive(k.seal, "secret "+label, 32) }
