// An agent on github.com/negasus/haproxy-spoe-go that answers as Countersign's HAProxy configuration expects.
package main

import (
	"log"

	"bench/contestant"

	"github.com/negasus/haproxy-spoe-go/action"
	"github.com/negasus/haproxy-spoe-go/agent"
	"github.com/negasus/haproxy-spoe-go/logger"
	"github.com/negasus/haproxy-spoe-go/request"
)

func main() {
	listener, identify := contestant.Start()
	handle := func(r *request.Request) {
		identity, err := identify(argument(r, "authorization"))
		contestant.Answer(variables{&r.Actions}, argument(r, "id"), identity, err)
	}
	log.Fatal(agent.New(handle, logger.NewNop()).Serve(listener))
}

func argument(r *request.Request, name string) string {
	message, err := r.Messages.GetByName("authorize")
	if err != nil {
		return ""
	}
	value, _ := message.KV.Get(name)
	text, _ := value.(string)
	return text
}

type variables struct{ actions *action.Actions }

func (v variables) SetString(name, value string) {
	v.actions.SetVar(action.ScopeTransaction, name, value)
}

func (v variables) SetInteger(name string, value int64) {
	v.actions.SetVar(action.ScopeTransaction, name, value)
}
