// Package api is the HTTP API: what the consoles, other programs and the command
// line speak. Its OpenAPI 3.1 description is at /openapi.json.
//
// The staff's side wants a session's token on every request and reaches plaintext
// only through the gate. The operator's side makes staff, devices and sessions,
// imports, and computes exposures; it is served on a Unix socket in the
// installation's folder, never on the network, and to whoever may open that.
//
// The log's side is for everybody: the audit log's checkpoint, tiles and keys, on
// a listener of its own (auditlog/serve).
//
// It promises that no personal data stands in an address or in an error, that
// every body is bounded, and that errors are problem+json (RFC 9457) saying what
// to do.
package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/access/device"
	"azekura/access/policy"
	"azekura/access/signin"
	"azekura/approval"
	"azekura/approval/desk"
	"azekura/auditlog"
	"azekura/auditlog/export"
	"azekura/cases"
	"azekura/gate"
	"azekura/incident"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/keyring"
	"azekura/keyring/rotation"
	"azekura/leakscan/scan"
	"azekura/register"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Version is the API's.
const Version = "1"

// maxWait bounds how long a request waits for the database or the log; callers
// must not pile up while one of them is away. What was queued may be recorded
// all the same, and is not released.
var maxWait = 30 * time.Second

// errFallen ends a request whose work panicked.
var errFallen = errors.New("the work ended in a panic")

// maxBody bounds every request's body, in bytes. The largest is a change.
const maxBody = 16 << 10

// Server answers requests for one installation.
type Server struct {
	inst *installation.Installation
	// logError hears of errors that are told to nobody else.
	logError func(request string, err error)
	log      *http.ServeMux // the audit log's public side
	signIn   *signin.Server // nil where the settings have none
	links    links
	pin      atomic.Pointer[string] // of the certificate that is served
	// selfSigning is held by who looks for the folder's own certificate, and makes it.
	selfSigning sync.Mutex
	long        chan struct{} // holds a place for each long answer that is under way
}

// maxLong bounds the long answers of the staff's side that are under way at once:
// each reads the whole log, and holds a connection to its database now and then.
const maxLong = 2

var errLong = errors.New("other exports or proofs are under way; try again when one is done")

// New serves an installation. logError hears the cause of each internal error,
// by request id.
func New(inst *installation.Installation, logError func(request string, err error)) *Server {
	s := &Server{inst: inst, logError: logError, long: make(chan struct{}, maxLong)}
	s.log = s.publicLog()
	s.startLinks()
	s.startSignIn()
	return s
}

// Staff is the side that is served on the network.
func (s *Server) Staff() http.Handler {
	mux, api := s.mux("Azekura")
	s.addStaff(api)
	s.addCases(api)
	s.addAuditor(api)
	s.addContainByStaff(api)
	s.addCanariesByStaff(api)
	s.addAlarmsByStaff(api)
	s.addPeople(api)
	s.addBudgetByStaff(api)
	s.addLeakByStaff(api)
	s.addEnrolment(api)
	s.addDevices(api)
	s.addProposals(api)
	s.addSignIn(mux)
	return s.identify(s.sameSite(s.guard(mux, described)), s.inst.Config.DeviceKeys)
}

// Operator is both sides, for the installation's own socket.
func (s *Server) Operator() http.Handler {
	mux, api := s.mux("Azekura, with the operator's side")
	s.addStaff(api)
	s.addCases(api)
	s.addAuditor(api)
	s.addContainByStaff(api)
	s.addCanariesByStaff(api)
	s.addAlarmsByStaff(api)
	s.addPeople(api)
	s.addPeopleOperator(api)
	s.addBudgetByStaff(api)
	s.addLeakByStaff(api)
	s.addProposals(api)
	s.addOperator(api)
	s.addDevices(api)
	s.addDevicesOperator(api)
	s.addContain(api)
	s.addAlarms(api)
	s.addBudget(api)
	s.addPolicies(api)
	s.addKeys(api)
	s.addApprovers(api)
	s.addReports(api)
	s.addLeak(api)
	s.addLeakWatch(api)
	s.addLeakScans(api)
	s.addLog(mux)
	s.addBackup(api)
	s.addWitnesses(api)
	return atSocket(s.guard(mux, described))
}

func (s *Server) mux(title string) (*http.ServeMux, huma.API) {
	mux := http.NewServeMux()
	config := huma.DefaultConfig(title, Version)
	config.Info.Description = "Every answer that holds a participant's data rests on an event of the audit log, whose index it names."
	config.DocsPath = ""     // its page would load scripts from elsewhere
	config.CreateHooks = nil // no $schema in answers
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strict}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"session": {Type: "http", Scheme: "bearer", Description: "A session's token, from a sign-in, or of a program's account from azekura session open."},
	}
	return mux, humago.New(mux, config)
}

// Auth carries a session's token: in a header, or in a browser's cookie.
type Auth struct {
	Authorization string `header:"Authorization" doc:"Bearer and the session's token"`
	Cookie        string `cookie:"__Host-azekura" doc:"the session's token, as a sign-in leaves it in a browser"`
}

func (s *Server) session(ctx context.Context, a Auth) (access.Session, error) {
	if a.Authorization == "" && a.Cookie != "" {
		return s.authenticate(ctx, a.Cookie)
	}
	scheme, token, ok := strings.Cut(a.Authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") { // RFC 9110, 11.1
		return access.Session{}, access.ErrNoSession
	}
	return s.authenticate(ctx, token)
}

// statuses are the errors that are told as they are, since they hold no
// personal data, and the status of each. The first that fits counts.
var statuses = []struct {
	err    error
	status int
}{
	{access.ErrNoSession, http.StatusUnauthorized},
	{access.ErrDeviceCode, http.StatusForbidden},
	{access.ErrNotDue, http.StatusConflict},
	{device.ErrNoDevice, http.StatusForbidden},
	{device.ErrInvalid, http.StatusUnprocessableEntity},
	{budget.ErrSpent, http.StatusTooManyRequests},
	{budget.ErrAdded, http.StatusConflict},
	{auditlog.ErrJudge, http.StatusServiceUnavailable},
	{gate.ErrDenied, http.StatusForbidden},
	{access.ErrTouch, http.StatusForbidden},
	{access.ErrRefused, http.StatusForbidden},
	{approval.ErrNotApproved, http.StatusForbidden},
	{export.ErrDenied, http.StatusForbidden},
	{cases.ErrDenied, http.StatusForbidden},
	{cases.ErrNotFound, http.StatusNotFound},
	{cases.ErrInvalid, http.StatusUnprocessableEntity},
	{installation.ErrNoAlarm, http.StatusNotFound},
	{cases.ErrTampered, http.StatusInternalServerError},
	{register.ErrNotFound, http.StatusNotFound},
	{access.ErrNotFound, http.StatusNotFound},
	{register.ErrConflict, http.StatusConflict},
	{access.ErrExists, http.StatusConflict},
	{rotation.ErrBusy, http.StatusConflict},
	{keyring.ErrShredded, http.StatusGone},
	{register.ErrTampered, http.StatusInternalServerError},
	{auditlog.ErrUncosigned, http.StatusServiceUnavailable},
	{auditlog.ErrOtherHistory, http.StatusServiceUnavailable},
	{auditlog.ErrDisputed, http.StatusServiceUnavailable},
	{auditlog.ErrNotRecorded, http.StatusServiceUnavailable},
	{errLong, http.StatusServiceUnavailable},
	{auditlog.ErrStopped, http.StatusServiceUnavailable},
	{gate.ErrTooMany, http.StatusUnprocessableEntity},
	{gate.ErrInvalid, http.StatusUnprocessableEntity},
	{access.ErrInvalid, http.StatusUnprocessableEntity},
	{rotation.ErrInvalid, http.StatusUnprocessableEntity},
	{desk.ErrNotFound, http.StatusNotFound},
	{desk.ErrRefused, http.StatusConflict},
	{approval.ErrNotApproved, http.StatusForbidden},
	{policy.ErrInvalid, http.StatusUnprocessableEntity},
	{installation.ErrDraft, http.StatusUnprocessableEntity},
	{installation.ErrResolve, http.StatusUnprocessableEntity},
	{installation.ErrStrays, http.StatusUnprocessableEntity},
	{installation.ErrScan, http.StatusUnprocessableEntity},
	{installation.ErrNoScan, http.StatusUnprocessableEntity},
	{scan.ErrNoPlace, http.StatusUnprocessableEntity},
	{keyring.ErrNoCase, http.StatusUnprocessableEntity},
	{incident.ErrFound, http.StatusUnprocessableEntity},
	{installation.ErrApprover, http.StatusUnprocessableEntity},
	{errOperator, http.StatusUnprocessableEntity},
	{export.ErrInvalid, http.StatusUnprocessableEntity},
	{auditlog.ErrNoDays, http.StatusNotFound},
	{auditlog.ErrNoLog, http.StatusNotFound},
	{errMayCome, http.StatusServiceUnavailable},
	{context.Canceled, 499},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
}

// problem turns an error into what the caller is told. What isn't known to be
// safe to tell stays here, under the request's id.
func (s *Server) problem(ctx context.Context, err error) error {
	for _, known := range statuses {
		if !errors.Is(err, known.err) {
			continue
		}
		message := err.Error()
		if known.status >= http.StatusInternalServerError {
			s.logError(request(ctx), err)
			message = known.err.Error()
		}
		if known.err == context.DeadlineExceeded {
			message = "the audit log or the database didn't answer in time, so nothing is opened; try again"
		}
		if known.status == http.StatusUnauthorized {
			return huma.ErrorWithHeaders(huma.NewError(known.status, message), http.Header{"WWW-Authenticate": {"Bearer"}})
		}
		var spent *budget.Refused
		if errors.As(err, &spent) {
			wait := max(1, int64(spent.Frees.Sub(s.inst.Log.Now()).Seconds())+1)
			return huma.ErrorWithHeaders(huma.NewError(known.status, spent.Error()), http.Header{"Retry-After": {strconv.FormatInt(wait, 10)}})
		}
		return huma.NewError(known.status, message)
	}
	s.logError(request(ctx), err)
	if db.Unavailable(err) {
		return huma.NewError(http.StatusServiceUnavailable, "the database can't answer now, so nothing is opened; try again")
	}
	return huma.NewError(http.StatusInternalServerError, internalError(request(ctx)))
}

// post registers a POST operation: what a request asks stands in its body,
// never in its address.
func post[In, Out any](s *Server, api huma.API, path, id, summary string, secured bool, f func(context.Context, *In) (*Out, error)) {
	register1(s, api, http.MethodPost, path, id, summary, secured, f)
}

func get[In, Out any](s *Server, api huma.API, path, id, summary string, secured bool, f func(context.Context, *In) (*Out, error)) {
	register1(s, api, http.MethodGet, path, id, summary, secured, f)
}

func register1[In, Out any](s *Server, api huma.API, method, path, id, summary string, secured bool, f func(context.Context, *In) (*Out, error)) {
	op := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody,
		Errors: []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable}}
	if secured {
		op.Security = []map[string][]string{{"session": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests)
	}
	huma.Register(api, op, func(ctx context.Context, in *In) (*Out, error) {
		ctx, cancel := context.WithTimeout(ctx, maxWait)
		defer cancel()
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}
