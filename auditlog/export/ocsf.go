package export

import (
	"azekura/auditlog"
)

// OCSF 1.3.0, class Datastore Activity of category Application Activity.
const (
	ocsfVersion  = "1.3.0"
	ocsfClass    = 6005
	ocsfCategory = 6
)

// ocsf is an event of the class. What the class requires is always there:
// activity_id, actor, category_uid, class_uid, metadata, severity_id,
// src_endpoint, time, type_uid, and one of database, databucket and table.
type ocsf struct {
	ActivityID   int           `json:"activity_id"`
	ActivityName string        `json:"activity_name"`
	Actor        ocsfActor     `json:"actor"`
	CategoryName string        `json:"category_name"`
	CategoryUID  int           `json:"category_uid"`
	ClassName    string        `json:"class_name"`
	ClassUID     int           `json:"class_uid"`
	Database     ocsfDatabase  `json:"database"`
	Device       *ocsfDevice   `json:"device,omitempty"` // profile host
	Message      string        `json:"message"`
	Metadata     ocsfMetadata  `json:"metadata"`
	Query        *ocsfQuery    `json:"query_info,omitempty"`
	Severity     string        `json:"severity"`
	SeverityID   int           `json:"severity_id"`
	Src          ocsfEndpoint  `json:"src_endpoint"`
	Status       string        `json:"status"`
	StatusCode   string        `json:"status_code,omitempty"`
	StatusID     int           `json:"status_id"`
	Time         int64         `json:"time"` // milliseconds
	Type         string        `json:"type"`
	TypeID       int           `json:"type_id"`
	TypeName     string        `json:"type_name"`
	TypeUID      int           `json:"type_uid"`
	Unmapped     *ocsfUnmapped `json:"unmapped,omitempty"`
}

type (
	ocsfActor struct {
		AppName string       `json:"app_name,omitempty"`
		Session *ocsfSession `json:"session,omitempty"`
		User    *ocsfUser    `json:"user,omitempty"`
	}
	ocsfSession struct {
		UID string `json:"uid"`
	}
	ocsfUser struct {
		UID    string      `json:"uid"`
		TypeID int         `json:"type_id"`
		Type   string      `json:"type"`
		Groups []ocsfGroup `json:"groups,omitempty"`
	}
	ocsfGroup struct {
		Name string `json:"name"`
	}
	ocsfDatabase struct {
		Name   string `json:"name"`
		TypeID int    `json:"type_id"`
		Type   string `json:"type"`
	}
	ocsfDevice struct {
		UID    string `json:"uid"`
		Name   string `json:"name"`
		TypeID int    `json:"type_id"`
		Type   string `json:"type"`
	}
	ocsfEndpoint struct {
		Name    string `json:"name,omitempty"`
		UID     string `json:"uid,omitempty"`
		Service string `json:"svc_name,omitempty"`
	}
	ocsfMetadata struct {
		Version        string      `json:"version"`
		Product        ocsfProduct `json:"product"`
		UID            string      `json:"uid"`
		Sequence       int64       `json:"sequence"`
		CorrelationUID string      `json:"correlation_uid,omitempty"`
		LogName        string      `json:"log_name"`
		OriginalTime   string      `json:"original_time"`
		Profiles       []string    `json:"profiles,omitempty"`
	}
	ocsfProduct struct {
		Name   string `json:"name"`
		Vendor string `json:"vendor_name"`
	}
	ocsfQuery struct {
		Query string `json:"query_string"`
		UID   string `json:"uid,omitempty"`
	}
	// ocsfUnmapped is what the class has no attribute for.
	ocsfUnmapped struct {
		Participant    string           `json:"participant,omitempty"`
		ParticipantSeq int64            `json:"participant_seq,omitempty"`
		SessionSeq     int64            `json:"session_seq,omitempty"`
		Purpose        string           `json:"purpose,omitempty"`
		Action         string           `json:"action"`
		Fields         map[string]int64 `json:"fields,omitempty"`
		Set            *setRow          `json:"set,omitempty"`
		Detail         any              `json:"detail,omitempty"`
	}
	setRow struct {
		Count int64  `json:"count"`
		Job   string `json:"job,omitempty"`
		Opens bool   `json:"opens"`
		Root  string `json:"root"`
		Place *int64 `json:"place,omitempty"`
	}
)

var ocsfActivities = map[int]string{1: "Read", 2: "Update", 4: "Query", 5: "Write", 7: "Delete", 8: "List", 10: "Decrypt"}

// ocsfOther is an activity that the class has no number for; its name is ours.
const ocsfOther = 99

// ocsfActivity is what of the class an event is.
func ocsfActivity(r row) int {
	switch r.Action {
	case auditlog.Read, auditlog.Show:
		return 1
	case auditlog.Check, auditlog.Checked, auditlog.Search:
		return 4
	case auditlog.Change:
		return 2
	case auditlog.Shred:
		return 7
	case auditlog.Export:
		return 8
	case auditlog.Index:
		return 10
	case auditlog.Set:
		if r.Set != nil && r.Set.Opens {
			return 1
		}
		return 5
	}
	return ocsfOther
}

func ocsfEvent(origin string, r row) any {
	activity := ocsfActivity(r)
	name := ocsfActivities[activity]
	if activity == ocsfOther {
		name = r.Action.String()
	}
	e := ocsf{ActivityID: activity, ActivityName: name, CategoryName: "Application Activity", CategoryUID: ocsfCategory,
		ClassName: "Datastore Activity", ClassUID: ocsfClass, Database: ocsfDatabase{Name: "register", TypeID: 1, Type: "Relational"},
		Message: message(r), SeverityID: 1, Severity: "Informational", StatusID: 1, Status: "Success", StatusCode: r.Outcome,
		Time: r.Time / 1000, Type: "Database", TypeID: 1, TypeName: "Datastore Activity: " + name, TypeUID: ocsfClass*100 + activity}
	if activity == ocsfOther {
		e.TypeName = "Datastore Activity: Other"
	}
	switch r.Action {
	case auditlog.Deny:
		e.SeverityID, e.Severity, e.StatusID, e.Status = 2, "Low", 2, "Failure"
	case auditlog.Contain:
		e.SeverityID, e.Severity = 3, "Medium"
	case auditlog.Alarm:
		e.SeverityID, e.Severity = 4, "High"
	}
	e.who(r)
	e.Metadata = ocsfMetadata{Version: ocsfVersion, Product: ocsfProduct{"Azekura", "Azekura"}, UID: origin + "/" + rowID(r), Sequence: r.Index,
		CorrelationUID: r.Case, LogName: origin, OriginalTime: instant(r.Time)}
	if e.Device != nil {
		e.Metadata.Profiles = []string{"host"}
	}
	if e.Query = (&ocsfQuery{Query: r.Action.String(), UID: r.Request}); len(r.fields()) > 0 {
		e.Query.Query += " " + spell(r)
	}
	e.Unmapped = unmapped(r)
	return e
}

// who fills in the actor and the endpoint, which the class requires: where no
// staff member and no device acted, it was the program.
func (e *ocsf) who(r row) {
	if r.Staff != "" {
		e.Actor.User = &ocsfUser{UID: r.Staff, TypeID: 1, Type: "User"}
		if r.Role != "" {
			e.Actor.User.Groups = []ocsfGroup{{r.Role}}
		}
	} else {
		e.Actor.AppName = "azekura"
	}
	if r.Session != 0 {
		e.Actor.Session = &ocsfSession{r.Session.String()}
	}
	if r.Device == "" {
		e.Src = ocsfEndpoint{Service: "azekura"}
		return
	}
	e.Src = ocsfEndpoint{Name: r.Device, UID: r.Device}
	e.Device = &ocsfDevice{UID: r.Device, Name: r.Device, TypeID: 0, Type: "Unknown"}
}

func unmapped(r row) *ocsfUnmapped {
	u := &ocsfUnmapped{Action: r.Action.String(), Purpose: r.Purpose, SessionSeq: r.SessionSeq, ParticipantSeq: r.ParticipantSeq}
	if id := r.participant(); id != (auditlog.ID{}) {
		u.Participant = id.String()
	}
	for _, fv := range r.fields() {
		if u.Fields == nil {
			u.Fields = map[string]int64{}
		}
		u.Fields[fv.Field.String()] = fv.Version
	}
	if s := r.Set; s != nil {
		u.Set = &setRow{Count: s.Count, Job: s.Job, Opens: s.Opens, Root: s.Root.String()}
		if r.member != nil {
			u.Set.Place = &r.place
		}
	}
	if len(r.Detail) > 0 {
		u.Detail = r.Detail
	}
	return u
}

// rowID names a row within its log.
func rowID(r row) string {
	if r.member != nil {
		return number(r.Index) + "." + number(r.place)
	}
	return number(r.Index)
}

func message(r row) string {
	m := r.Action.String()
	if r.Outcome != "" {
		m += ", " + r.Outcome
	}
	if n := r.opened().Len(); n > 0 && r.participant() != (auditlog.ID{}) {
		m += ": " + r.opened().String()
	}
	return m
}
