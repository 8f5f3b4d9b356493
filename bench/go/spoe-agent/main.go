// An agent on github.com/negasus/haproxy-spoe-go that answers as Countersign's HAProxy configuration expects.
package main

import (
	"flag"
	"log"
	"net"

	"bench/bearer"

	"github.com/negasus/haproxy-spoe-go/action"
	"github.com/negasus/haproxy-spoe-go/agent"
	"github.com/negasus/haproxy-spoe-go/logger"
	"github.com/negasus/haproxy-spoe-go/request"
)

var constant = bearer.Identity{Subject: "person-0@example.com", Tenant: "emea"}

func main() {
	socket := flag.String("socket", "", "path of the unix socket")
	form := flag.String("form", "constant", "constant, verify or cache")
	keys := flag.String("keys", "", "folder of ALGORITHM.pem")
	issuer := flag.String("issuer", "", "iss")
	audience := flag.String("audience", "", "aud")
	flag.Parse()

	identify := func(*request.Request) (bearer.Identity, error) { return constant, nil }
	if *form != "constant" {
		cached := 0
		if *form == "cache" {
			cached = 100_000
		}
		verifier, err := bearer.New(*keys, *issuer, *audience, cached)
		if err != nil {
			log.Fatal(err)
		}
		identify = func(r *request.Request) (bearer.Identity, error) {
			return verifier.Identify(argument(r, "authorization"))
		}
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	handle := func(r *request.Request) { answer(r, identify) }
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

func answer(r *request.Request, identify func(*request.Request) (bearer.Identity, error)) {
	identity, err := identify(r)
	set := func(name string, value any) { r.Actions.SetVar(action.ScopeTransaction, name, value) }
	set("id", argument(r, "id"))
	if err != nil {
		set("reason", "signature-invalid")
		set("status", int64(401))
		set("verdict", "deny")
		return
	}
	set("reason", "allowed")
	set("rule", "orders/things-5")
	set("revision", "countersign")
	set("subject", identity.Subject)
	set("header_1", identity.Subject)
	set("header_2", identity.Tenant)
	set("backend", "orders")
	set("verdict", "allow")
}
