package api

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"time"

	"azekura/access"
	"azekura/access/device"

	"github.com/danielgtaylor/huma/v2"
)

// EnrolPath is where a device's agent enrols, and RenewPath where it renews: the
// only places that are reached without a certificate.
const (
	EnrolPath = "/v1/device/enrol"
	RenewPath = "/v1/device/renew"
)

// OfDevice names a device.
type OfDevice struct {
	Device string `json:"device" maxLength:"32"`
}

// NewDeviceCode is a device's enrolment code, which is shown this once.
type NewDeviceCode struct {
	OfDevice
	Code    string    `json:"code" doc:"the code, a dot, and the server's key's SHA-256, by which the agent knows the server"`
	Expires time.Time `json:"expires"`
}

// AddedDevice is a device that was added, and its first code.
type AddedDevice struct {
	access.Device
	Code    string    `json:"code"`
	Expires time.Time `json:"expires" doc:"when the code ends"`
}

// DeviceAnswer is a device and its keys.
type DeviceAnswer struct {
	access.Device
	Keys []access.DeviceKey `json:"keys"`
}

// Enrolment asks for a key's first certificate.
type Enrolment struct {
	Code    string `json:"code" maxLength:"64" doc:"as far as the dot"`
	Request []byte `json:"request" maxLength:"8192" doc:"a PKCS #10 request, DER, in base64; its key is P-256"`
	Kind    string `json:"kind,omitempty" enum:"file,tpm" default:"file" doc:"where the key is kept"`
}

// Renewal asks for an enrolled key's next certificate.
type Renewal struct {
	Request []byte `json:"request" maxLength:"8192" doc:"a PKCS #10 request of the same key, DER, in base64"`
}

// Certificate is what a device's agent keeps.
type Certificate struct {
	OfDevice
	Certificate []byte    `json:"certificate" doc:"X.509, DER, in base64"`
	Until       time.Time `json:"until"`
}

// addEnrolment adds what is reached without a certificate.
func (s *Server) addEnrolment(api huma.API) {
	post(s, api, EnrolPath, "device-enrol", "Enrol a device's key with a one-time code", false, seenThrough(s, func(ctx context.Context, in *body[Enrolment]) (*body[Certificate], error) {
		issued, id, err := s.inst.Access.EnrolDevice(ctx, s.inst.Devices, in.Body.Code, in.Body.Kind, in.Body.Request)
		return certificateOf(issued, id, err)
	}))
	post(s, api, RenewPath, "device-renew", "Renew a device's certificate, for the same key", false, seenThrough(s, func(ctx context.Context, in *body[Renewal]) (*body[Certificate], error) {
		issued, id, err := s.inst.Access.RenewDevice(ctx, s.inst.Devices, in.Body.Request)
		return certificateOf(issued, id, err)
	}))
}

func (s *Server) addDevices(api huma.API) {
	withAuth(s, api, "device-code", "Make a one-time code with which a device enrols a key", s.deviceCode)
	withAuth(s, api, "device-revoke", "End a device's keys, and the sessions that are bound to them, for good", func(ctx context.Context, o access.Officer, in OfDevice) (access.Device, error) {
		return s.inst.Access.RevokeDevice(ctx, o, in.Device)
	})
	officers(s, api, "devices", "The devices, and their keys", s.devices)
}

func (s *Server) addDevicesOperator(api huma.API) {
	type none struct{}
	post(s, api, "/operator/devices", "add-device", "Add a device, and make its first code", false, seenThrough(s, s.addDevice))
	get(s, api, "/operator/devices", "list-devices", "List the devices, and their keys", false, func(context.Context, *none) (*body[[]DeviceAnswer], error) {
		return &body[[]DeviceAnswer]{s.devices()}, nil
	})
	operator(s, api, "device-code", "Make a one-time code with which a device enrols a key", func(ctx context.Context, in OfDevice) (NewDeviceCode, error) {
		return s.deviceCode(ctx, access.Operator(), in)
	})
	operator(s, api, "device-revoke", "End a device's keys, and the sessions that are bound to them, for good", func(ctx context.Context, in OfDevice) (access.Device, error) {
		return s.inst.Access.RevokeDevice(ctx, access.Operator(), in.Device)
	})
}

func (s *Server) addDevice(ctx context.Context, in *body[NewDevice]) (*body[AddedDevice], error) {
	added, err := s.inst.Access.AddDevice(ctx, in.Body.ID, in.Body.Office)
	if err != nil {
		return nil, err
	}
	code, err := s.deviceCode(ctx, access.Operator(), OfDevice{added.ID})
	return &body[AddedDevice]{AddedDevice{added, code.Code, code.Expires}}, err
}

func (s *Server) devices() []DeviceAnswer {
	list := []DeviceAnswer{}
	for _, d := range s.inst.Access.Devices() {
		list = append(list, DeviceAnswer{d, s.inst.Access.Keys(d.ID)})
	}
	return list
}

func (s *Server) deviceCode(ctx context.Context, o access.Officer, in OfDevice) (NewDeviceCode, error) {
	pin, err := s.serverPin()
	if err != nil {
		return NewDeviceCode{}, err
	}
	code, expires, err := s.inst.Access.NewDeviceCode(ctx, o, in.Device)
	if err != nil {
		return NewDeviceCode{}, err
	}
	return NewDeviceCode{in, code + "." + pin, expires}, nil
}

func certificateOf(i device.Issued, id string, err error) (*body[Certificate], error) {
	if err != nil {
		return nil, err
	}
	return &body[Certificate]{Certificate{OfDevice{id}, i.DER, i.Until}}, nil
}

// serverPin is what an agent knows the server by: that of the certificate that is
// served; where none is, that of the one in the folder.
func (s *Server) serverPin() (string, error) {
	if pin := s.pin.Load(); pin != nil {
		return *pin, nil
	}
	cert, err := s.certificate(Listen{})
	if err != nil {
		return "", err
	}
	return pinOf(cert), nil
}

func pinOf(c tls.Certificate) string { return KeyPin(c.Leaf) }

// KeyPin is the SHA-256 of a server certificate's key, as a device's code carries it.
func KeyPin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
