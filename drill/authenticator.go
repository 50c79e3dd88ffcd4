package drill

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// passkey is a staff member's authenticator: it signs when its holder touches it, and
// proves that it verified them (WebAuthn level 3, 6). It is on no PC, so the attacker
// has none.
type passkey struct {
	staff string
	id    []byte
	key   *ecdsa.PrivateKey
	count uint32
}

// staffHost is what the drill's staff have in their address lines: passkeys are bound
// to it, wherever the server listens.
const (
	staffHost   = "azekura.example"
	staffOrigin = "https://" + staffHost
)

func newPasskey(staff string) (*passkey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails: the program ends instead
	return &passkey{staff: staff, id: id, key: key}, err
}

// challenge is what a server's options ask to be signed.
type challenge struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
	} `json:"publicKey"`
}

// credential is what a browser sends of an authenticator's answer.
type credential struct {
	ID       string            `json:"id"`
	RawID    string            `json:"rawId"`
	Type     string            `json:"type"`
	Response map[string]string `json:"response"`
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// collected is the browser's part, which the authenticator signs the hash of.
func collected(kind string, c challenge) ([]byte, error) {
	return json.Marshal(map[string]any{"type": kind, "challenge": c.PublicKey.Challenge, "origin": staffOrigin, "crossOrigin": false})
}

// Flags of the authenticator's data.
const (
	present  = 0x01
	verified = 0x04
	attested = 0x40
)

// data is the authenticator's.
func (k *passkey) data(flags byte) []byte {
	host := sha256.Sum256([]byte(staffHost))
	k.count++
	return binary.BigEndian.AppendUint32(append(host[:], flags), k.count)
}

func (k *passkey) answer(response map[string]string) credential {
	return credential{b64(k.id), b64(k.id), "public-key", response}
}

// enrol answers a registration, without an attestation.
func (k *passkey) enrol(c challenge) (credential, error) {
	client, err := collected("webauthn.create", c)
	if err != nil {
		return credential{}, err
	}
	point, err := k.key.PublicKey.Bytes() // 4, x, y
	if err != nil || len(point) != 65 {
		return credential{}, fmt.Errorf("make a passkey: its public half isn't a point of P-256 (%w)", err)
	}
	data := append(k.data(present|verified|attested), make([]byte, 16)...) // of no model
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(k.id))), k.id...)
	// COSE: an EC2 key for ES256 (RFC 9053, 2.1 and 7.1.1).
	data = slices.Concat(data, []byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33], []byte{0x22, 0x58, 32}, point[33:])
	// CBOR: fmt "none", no statement, authData of up to 255 bytes.
	object := slices.Concat([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), []byte{byte(len(data))}, data)
	return k.answer(map[string]string{"clientDataJSON": b64(client), "attestationObject": b64(object)}), nil
}

// touch answers an assertion.
func (k *passkey) touch(c challenge) (credential, error) {
	client, err := collected("webauthn.get", c)
	if err != nil {
		return credential{}, err
	}
	data, of := k.data(present|verified), sha256.Sum256(client)
	signed := sha256.Sum256(append(slices.Clone(data), of[:]...))
	proof, err := ecdsa.SignASN1(rand.Reader, k.key, signed[:])
	if err != nil {
		return credential{}, err
	}
	return k.answer(map[string]string{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(proof), "userHandle": b64([]byte(k.staff))}), nil
}
