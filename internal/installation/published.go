package installation

import "azekura/auditlog/serve"

// Published is the head that the installation shows to the world.
func (i *Installation) Published() []byte { return i.Log.Checkpoint() }

// LogKeys are the public keys by which to check it.
func (i *Installation) LogKeys() serve.Keys {
	return serve.Keys{Origin: i.Signer.Origin(), Keys: []string{i.Signer.VerifierKey()}}
}
