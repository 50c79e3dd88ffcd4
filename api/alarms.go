package api

import (
	"context"

	"azekura/access"
	"azekura/incident/alarms"

	"github.com/danielgtaylor/huma/v2"
)

// AlarmSeen says what somebody found who looked at an alarm.
type AlarmSeen struct {
	Log   int64  `json:"log,omitempty" minimum:"0" doc:"the number of the alarm's log; 0 is the one in force"`
	Event int64  `json:"event" minimum:"0" doc:"the alarm's event"`
	Found string `json:"found" maxLength:"200" doc:"for people, without personal data"`
}

// AlarmTest asks for a test of where alarms go; it has nothing to say.
type AlarmTest struct{}

// TestedAlarms is the event of a test.
type TestedAlarms struct {
	Event int64 `json:"event"`
}

func (s *Server) addAlarms(api huma.API) {
	get(s, api, "/operator/alarms", "list-all-alarms", "The alarms, containments and releases, and who has looked at them", false,
		func(ctx context.Context, _ *struct{}) (*body[[]alarms.Entry], error) {
			list, err := s.inst.Alarms(ctx)
			return &body[[]alarms.Entry]{list}, err
		})
	get(s, api, "/operator/alarms/targets", "list-alarm-targets", "Where alarms go, and how far each was told", false,
		func(context.Context, *struct{}) (*body[[]alarms.Told], error) {
			return &body[[]alarms.Told]{s.inst.Outbox.Status()}, nil
		})
	post(s, api, "/operator/alarms/test", "test-alarms", "Send a test where alarms go", false,
		seenThrough(s, func(ctx context.Context, _ *body[AlarmTest]) (*body[TestedAlarms], error) {
			event, err := s.inst.TestAlarms(ctx)
			return &body[TestedAlarms]{TestedAlarms{event}}, err
		}))
	post(s, api, "/operator/alarms/seen", "acknowledge-alarm", "Say that an alarm was looked at", false,
		seenThrough(s, func(ctx context.Context, in *body[AlarmSeen]) (*body[access.Acknowledgement], error) {
			a, err := s.inst.Acknowledge(ctx, access.Operator(), in.Body.Log, in.Body.Event, in.Body.Found)
			return &body[access.Acknowledgement]{a}, err
		}))
}

func (s *Server) addAlarmsByStaff(api huma.API) {
	post(s, api, "/v1/alarms/seen", "acknowledge-alarm-by-session", "Say that an alarm was looked at, as the security officer whose session it is", true,
		seenThrough(s, func(ctx context.Context, in *staffInput[AlarmSeen]) (*body[access.Acknowledgement], error) {
			session, err := s.session(ctx, in.Auth)
			if err != nil {
				return nil, err
			}
			a, err := s.inst.Acknowledge(ctx, session.Officer(), in.Body.Log, in.Body.Event, in.Body.Found)
			return &body[access.Acknowledgement]{a}, err
		}))
}
