// acmesolver answers one HTTP-01 challenge: it is the program of the pod that cert-manager makes for it.
package main

import (
	"flag"
	"log"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
	"github.com/go-logr/logr"
)

func main() {
	var answer solver.HTTP01Solver
	flag.IntVar(&answer.ListenPort, "listen-port", 8089, "port to listen on")
	flag.StringVar(&answer.Domain, "domain", "", "host that is validated")
	flag.StringVar(&answer.Token, "token", "", "token of the challenge")
	flag.StringVar(&answer.Key, "key", "", "key authorization")
	flag.Parse()
	log.Fatal(answer.Listen(logr.Discard()))
}
