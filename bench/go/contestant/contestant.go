// Package contestant is what the agents of the benchmark share: their arguments, their socket and their verdict.
package contestant

import (
	"flag"
	"log"
	"net"

	"bench/bearer"
)

// Identify takes the value of an Authorization header.
type Identify func(authorization string) (bearer.Identity, error)

var constant = bearer.Identity{Subject: "person-0@example.com", Tenant: "emea"}

// Start reads the command line and listens. It ends the program where that cannot be done.
func Start() (net.Listener, Identify) {
	socket := flag.String("socket", "", "path of the unix socket")
	form := flag.String("form", "constant", "constant, verify or cache")
	keys := flag.String("keys", "", "folder of ALGORITHM.pem")
	issuer := flag.String("issuer", "", "iss")
	audience := flag.String("audience", "", "aud")
	flag.Parse()

	identify := func(string) (bearer.Identity, error) { return constant, nil }
	if *form != "constant" {
		cached := 0
		if *form == "cache" {
			cached = 100_000
		}
		verifier, err := bearer.New(*keys, *issuer, *audience, cached)
		if err != nil {
			log.Fatal(err)
		}
		identify = verifier.Identify
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	return listener, identify
}

// Variables are set for the transaction of one request.
type Variables interface {
	SetString(name, value string)
	SetInteger(name string, value int64)
}

// Answer sets what Countersign's HAProxy configuration expects, the verdict last.
func Answer(set Variables, id string, identity bearer.Identity, err error) {
	set.SetString("id", id)
	if err != nil {
		set.SetString("reason", "signature-invalid")
		set.SetInteger("status", 401)
		set.SetString("verdict", "deny")
		return
	}
	set.SetString("reason", "allowed")
	set.SetString("rule", "orders/things-5")
	set.SetString("revision", "countersign")
	set.SetString("subject", identity.Subject)
	set.SetString("header_1", identity.Subject)
	set.SetString("header_2", identity.Tenant)
	set.SetString("backend", "orders")
	set.SetString("verdict", "allow")
}
