// Agents to be measured beside Countersign: each on a public SPOE module, with golang-jwt.
module bench

go 1.24

require (
	github.com/dropmorepackets/haproxy-go v0.0.6
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/hashicorp/golang-lru/v2 v2.0.7
	github.com/negasus/haproxy-spoe-go v1.0.7
)
