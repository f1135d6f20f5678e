// cert-manager is cert-manager's controller with what ACME over HTTP-01 takes, in one process beside the cluster.
//
// Upstream's own main is a nested module that needs a replace directive to build; this one starts the same controllers.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/deploy/crds"
	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// workers is how many objects of a kind are worked on at the same time (upstream's default).
const workers = 5

func main() {
	kubeconfig := flag.String("kubeconfig", "", "path of the kubeconfig")
	image := flag.String("acmesolver-image", "", "image of the pods that answer HTTP-01 challenges")
	definitions := flag.Bool("definitions", false, "print the custom resource definitions, one JSON object a line, and end")
	runtimeClass := flag.String("acmesolver-runtime-class", "", "runtime class of these pods")
	nameservers := flag.String("nameservers", "", "host:port, comma-separated: asked before a challenge is accepted")
	health := flag.String("health-address", "127.0.0.1:9403", "answers 200 once the controllers run")
	flag.Parse()
	if *definitions {
		if err := printDefinitions(); err != nil {
			log.Fatal(err)
		}
		return
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:         *kubeconfig,
		KubernetesAPIQPS:   50,
		KubernetesAPIBurst: 100,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: "cert-manager"},
		ACMEOptions: controller.ACMEOptions{
			HTTP01SolverImage:                 *image,
			HTTP01SolverRuntimeClassName:      *runtimeClass,
			HTTP01SolverNameservers:           strings.Split(*nameservers, ","),
			HTTP01SolverResourceRequestCPU:    resource.MustParse("10m"),
			HTTP01SolverResourceRequestMemory: resource.MustParse("16Mi"),
			HTTP01SolverResourceLimitsCPU:     resource.MustParse("100m"),
			HTTP01SolverResourceLimitsMemory:  resource.MustParse("64Mi"),
			// Also of HTTP-01: upstream waits for 10 s before it looks again whether the challenge is answered.
			DNS01CheckRetryPeriod: time.Second,
		},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: 60},
	})
	if err != nil {
		log.Fatal(err)
	}
	shared, err := factory.Build()
	if err != nil {
		log.Fatal(err)
	}
	var controllers []controller.Interface
	for name, construct := range controller.Known() {
		one, err := construct(factory)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		controllers = append(controllers, one)
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())

	group, ctx := errgroup.WithContext(ctx)
	for _, one := range controllers {
		group.Go(func() error { return one.Run(workers, ctx) })
	}
	server := http.Server{Addr: *health, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	group.Go(server.ListenAndServe)
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func printDefinitions() error {
	files, err := crds.Files.ReadDir(".")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := crds.Files.ReadFile(file.Name())
		if err != nil {
			return err
		}
		object, err := yaml.YAMLToJSON(text)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(append(object, '\n')); err != nil {
			return err
		}
	}
	return nil
}
