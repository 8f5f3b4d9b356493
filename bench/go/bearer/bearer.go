// Package bearer tells who presents a JWT: its signature, algorithm, issuer, audience and expiry are checked.
package bearer

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Identity is what becomes identity headers.
type Identity struct {
	Subject string
	Tenant  string
	Expires time.Time
}

type claims struct {
	Tenant string `json:"tenant"`
	jwt.RegisteredClaims
}

// Verifier checks the tokens of one issuer.
type Verifier struct {
	parser *jwt.Parser
	keys   map[string]any
	cache  *lru.Cache[string, Identity]
}

// New reads ALGORITHM.pem from a folder. A cache of 0 identities means that every token is verified each time.
func New(folder, issuer, audience string, cached int) (*Verifier, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.pem"))
	if err != nil {
		return nil, err
	}
	keys := map[string]any{}
	for _, file := range files {
		algorithm := strings.TrimSuffix(filepath.Base(file), ".pem")
		if keys[algorithm], err = readKey(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	verifier := &Verifier{keys: keys, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256", "ES256", "EdDSA"}),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
	)}
	if cached > 0 {
		verifier.cache, err = lru.New[string, Identity](cached)
	}
	return verifier, err
}

func readKey(file string) (any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// Identify takes the value of an Authorization header.
func (v *Verifier) Identify(authorization string) (Identity, error) {
	token, found := strings.CutPrefix(authorization, "Bearer ")
	if !found {
		return Identity{}, errors.New("no bearer token")
	}
	if v.cache != nil {
		if identity, ok := v.cache.Get(token); ok && time.Now().Before(identity.Expires) {
			return identity, nil
		}
	}
	identity, err := v.verify(token)
	if err == nil && v.cache != nil {
		v.cache.Add(token, identity)
	}
	return identity, err
}

func (v *Verifier) verify(token string) (Identity, error) {
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		key, ok := v.keys[t.Method.Alg()]
		if !ok {
			return nil, errors.New("no key")
		}
		return key, nil
	})
	if err != nil {
		return Identity{}, err
	}
	return Identity{Subject: c.Subject, Tenant: c.Tenant, Expires: c.ExpiresAt.Time}, nil
}
