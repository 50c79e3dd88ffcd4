package db_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"azekura/internal/db"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestUnavailable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&pgconn.PgError{Code: "53100"}, true}, // disk_full
		{&pgconn.PgError{Code: "57P01"}, true}, // admin_shutdown
		{&pgconn.PgError{Code: "57P03"}, true}, // cannot_connect_now
		{&pgconn.PgError{Code: "23505"}, false},
		{&pgconn.PgError{Code: "42P01"}, false},
		{&pgconn.PgError{}, false},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, true},
		{io.ErrUnexpectedEOF, true},
		{db.ErrUnknown, true},
		{db.ErrNoRows, false},
		{errors.New("another"), false},
		{nil, false},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("read: %w", err)
		}
		if got := db.Unavailable(err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
	broken := &pgconn.ConnectError{}
	if !db.Unavailable(fmt.Errorf("read: %w", error(broken))) {
		t.Error("no connection isn't told from a fault")
	}
}
