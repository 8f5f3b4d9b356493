// An agent on github.com/dropmorepackets/haproxy-go that answers as Countersign's HAProxy configuration expects.
package main

import (
	"context"
	"log"

	"bench/contestant"

	"github.com/dropmorepackets/haproxy-go/pkg/encoding"
	"github.com/dropmorepackets/haproxy-go/spop"
)

func main() {
	listener, identify := contestant.Start()
	handle := func(_ context.Context, w *encoding.ActionWriter, m *encoding.Message) {
		id, authorization := arguments(m)
		identity, err := identify(authorization)
		contestant.Answer(variables{w}, id, identity, err)
	}
	agent := spop.Agent{Handler: spop.HandlerFunc(handle)}
	log.Fatal(agent.Serve(wholeFrames{listener}))
}

func arguments(m *encoding.Message) (id, authorization string) {
	entry := encoding.AcquireKVEntry()
	defer encoding.ReleaseKVEntry(entry)
	for m.KV.Next(entry) {
		switch {
		case entry.NameEquals("id"):
			id = string(entry.ValueBytes())
		case entry.NameEquals("authorization"):
			authorization = string(entry.ValueBytes())
		}
	}
	return id, authorization
}

type variables struct{ writer *encoding.ActionWriter }

// What does not fit the frame of 64 kB is not written: the variables are far smaller.
func (v variables) SetString(name, value string) {
	_ = v.writer.SetString(encoding.VarScopeTransaction, name, value)
}

func (v variables) SetInteger(name string, value int64) {
	_ = v.writer.SetInt64(encoding.VarScopeTransaction, name, value)
}
