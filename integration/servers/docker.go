package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

const (
	pullTimeout = 5 * time.Minute
	pingTimeout = 5 * time.Second
)

// inDocker runs a server of the product in a container.
func inDocker(ctx context.Context, p Product) (*Server, error) {
	pool, err := dockerPool(ctx)
	if err != nil {
		return nil, err
	}
	t := p.traits()
	image := cmp.Or(os.Getenv(t.envImage), t.image.preset)
	repository, tag, err := splitImage(image)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", t.envImage, err), closeIdle(pool))
	}
	if err := ensureImage(ctx, pool, repository, tag); err != nil {
		return nil, errors.Join(err, closeIdle(pool))
	}
	removeStillborn(pool)
	password := newPassword()
	box, err := runContainer(pool, t.image, repository, tag, password)
	if err != nil {
		return nil, errors.Join(err, closeIdle(pool))
	}
	server, err := box.server(ctx, p, password)
	if err != nil {
		return nil, errors.Join(box.explain(fmt.Errorf("image %s: %w", image, err)), box.stop())
	}
	server.Source, server.stop = "Docker image "+image, box.stop
	return server, nil
}

// dockerPool connects to the Docker engine on this machine.
func dockerPool(ctx context.Context) (*dockertest.Pool, error) {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if err := checkLocal(pool.Client.Endpoint()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := pool.Client.PingWithContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: no engine answers: %w", ErrNone, err), closeIdle(pool))
	}
	return pool, nil
}

// checkLocal refuses an engine on another machine: the container's port would
// be published there, on that machine's loopback address.
func checkLocal(endpoint string) error {
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("%w: engine address: %w", ErrNone, err)
	}
	host := parsed.Hostname()
	if parsed.Scheme == "unix" || parsed.Scheme == "npipe" || host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%w: the engine at %s is on another machine", ErrNone, endpoint)
}

// ensureImage pulls the image unless the engine has it.
func ensureImage(ctx context.Context, pool *dockertest.Pool, repository, tag string) error {
	image := repository + ":" + tag
	_, err := pool.Client.InspectImage(image)
	if err == nil {
		return nil
	}
	if !errors.Is(err, docker.ErrNoSuchImage) {
		return fmt.Errorf("%w: image %s: %w", ErrNone, image, err)
	}
	fmt.Fprintf(os.Stderr, "lockstep: Docker has no image %s yet; trying to pull it\n", image)
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	options := docker.PullImageOptions{Repository: repository, Tag: tag, Context: ctx, OutputStream: io.Discard}
	if err := pool.Client.PullImage(options, docker.AuthConfiguration{}); err != nil {
		return fmt.Errorf("%w: image %s is not here and cannot be pulled: %w", ErrNone, image, err)
	}
	return nil
}

// splitImage takes name:tag apart.
func splitImage(image string) (repository, tag string, err error) {
	if strings.Contains(image, "@") {
		return "", "", fmt.Errorf("%q is not of the form name:tag", image)
	}
	repository, tag = docker.ParseRepositoryTag(image)
	if tag == "" {
		tag = "latest"
	}
	return repository, tag, nil
}
