package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

const (
	// containerLabel marks every container that is made here.
	containerLabel = "com.github.lockstep-go.server"

	// attachedMark is a file in a container that says its lifeline is attached.
	attachedMark = "/tmp/lockstep-attached"

	// stillbornAfter is longer than an engine takes to start a container.
	stillbornAfter = 5 * time.Minute

	// longestRun is when the engine kills a container that nobody stopped: a
	// second net under the lifeline, for engines that are reached through
	// something that keeps a dead client's connection open.
	longestRun = 6 * time.Hour
)

// A container is a running one that this process owns.
type container struct {
	pool     *dockertest.Pool
	image    imageTraits
	resource *dockertest.Resource
	log      tail
	logged   chan struct{} // closed when the log ended

	lifeline *io.PipeWriter // nil until it is attached
	ended    chan struct{}  // closed when the lifeline's other end is gone
}

// awaitGuard is the first program of a container. It becomes the image's own
// entrypoint, and leaves a process behind that ends the container when no
// lifeline is attached in time, because this process was killed before. Its
// arguments are the signal that ends the server, and the entrypoint.
const awaitGuard = `
signal=$1
shift
{
	tries=0
	while [ ! -e ` + attachedMark + ` ] && [ $tries -lt 30 ]; do
		sleep 1
		tries=$((tries + 1))
	done
	[ -e ` + attachedMark + ` ] || while kill -"$signal" 1; do sleep 1; done
} &
exec "$@"
`

// runContainer starts a container of an image.
func runContainer(pool *dockertest.Pool, image imageTraits, repository, tag, password string) (*container, error) {
	own, err := pool.Client.InspectImage(repository + ":" + tag)
	if err != nil {
		return nil, err
	}
	command := image.command
	if command == nil { // an entrypoint of ours would take the image's own away
		command = own.Config.Cmd
	}
	name := "lockstep-" + image.label + "-" + strings.ToLower(rand.Text())
	resource, err := pool.RunWithOptions(&dockertest.RunOptions{
		Name:       name,
		Repository: repository,
		Tag:        tag,
		Env:        image.environment(password),
		Entrypoint: append([]string{"sh", "-c", awaitGuard, "lockstep-await", image.signal}, own.Config.Entrypoint...),
		Cmd:        command,
		Labels:     map[string]string{containerLabel: image.label},
		PortBindings: map[docker.Port][]docker.PortBinding{
			image.port: {{HostIP: "127.0.0.1"}},
		},
	}, func(host *docker.HostConfig) {
		host.AutoRemove = true
		host.PublishAllPorts = false
	})
	if err != nil {
		// It may have been made and not started.
		return nil, errors.Join(fmt.Errorf("image %s:%s: %w", repository, tag, err), pool.RemoveContainerByName(name))
	}
	box := &container{pool: pool, image: image, resource: resource, logged: make(chan struct{}), ended: make(chan struct{})}
	go box.followLog()
	return box, nil
}

// followLog keeps the end of the container's log, which the engine removes
// together with the container. An engine that cannot show it costs no more
// than the reason why a server did not start.
func (c *container) followLog() {
	defer close(c.logged)
	_ = c.pool.Client.Logs(docker.LogsOptions{
		Container: c.resource.Container.ID, OutputStream: &c.log, ErrorStream: &c.log,
		Follow: true, Stdout: true, Stderr: true,
	})
}

// explain adds the last line of the container's log to err. Where the
// container ended just now, the line may still be on its way.
func (c *container) explain(err error) error {
	select {
	case <-c.logged:
	case <-time.After(time.Second):
	}
	return c.log.explain(err)
}

// server waits until the container's server takes connections.
func (c *container) server(ctx context.Context, p Product, password string) (*Server, error) {
	if err := c.attachLifeline(ctx); err != nil {
		return nil, err
	}
	hostPort := c.resource.GetHostPort(string(c.image.port))
	return awaitServer(ctx, c.ended, p, c.image.url(password, hostPort))
}

// guardContainer runs beside the server, in its container. Its standard input
// comes from this process, so it ends when this process does, even by SIGKILL,
// and takes the container with it. The signal, its argument, is repeated because
// an image's entrypoint does not heed it while it prepares the server.
const guardContainer = `touch ` + attachedMark + `; echo ready; cat >/dev/null; while kill -"$1" 1; do sleep 1; done`

// attachLifeline ties the container's life to this process's, and returns when
// that is done.
func (c *container) attachLifeline(ctx context.Context) error {
	if err := c.resource.Expire(uint(longestRun / time.Second)); err != nil {
		return err
	}
	input, lifeline := io.Pipe()
	output, guard := io.Pipe()
	c.lifeline = lifeline
	go c.runGuard(input, guard)
	stop := context.AfterFunc(ctx, func() { output.CloseWithError(context.Cause(ctx)) })
	defer stop()
	_, err := io.ReadFull(output, make([]byte, len("ready")))
	go drain(output)
	return err
}

// runGuard runs guardContainer until the container ends.
func (c *container) runGuard(input io.Reader, output *io.PipeWriter) {
	defer close(c.ended)
	// Its container ends before it does, so there is always an error.
	_, err := c.resource.Exec([]string{"sh", "-c", guardContainer, "lockstep-guard", c.image.signal},
		dockertest.ExecOptions{StdIn: input, StdOut: output})
	output.CloseWithError(fmt.Errorf("lifeline: %w", errors.Join(err, errEnded)))
}

// drain reads what nobody needs.
func drain(r io.Reader) { _, _ = io.Copy(io.Discard, r) }

// stop kills the container and returns when it is gone from the engine.
func (c *container) stop() error {
	err := c.pool.Purge(c.resource)
	var missing *docker.NoSuchContainer
	if errors.As(err, &missing) || isBeingRemoved(err) {
		err = nil
	}
	if c.lifeline != nil {
		_ = c.lifeline.Close()
		<-c.ended
	}
	return errors.Join(err, closeIdle(c.pool))
}

// removeStillborn removes containers that an earlier process made and could not
// start before it was killed; the engine removes only those that ran. What
// cannot be removed now is left for the next time.
func removeStillborn(pool *dockertest.Pool) {
	found, err := pool.Client.ListContainers(docker.ListContainersOptions{
		All:     true,
		Filters: map[string][]string{"label": {containerLabel}, "status": {"created"}},
	})
	if err != nil {
		return
	}
	for _, one := range found {
		if time.Since(time.Unix(one.Created, 0)) > stillbornAfter {
			_ = pool.Client.RemoveContainer(docker.RemoveContainerOptions{ID: one.ID, Force: true, RemoveVolumes: true})
		}
	}
}

// isBeingRemoved reports whether the engine had begun to remove the container
// when it was asked to, as it does by itself when the server ends.
func isBeingRemoved(err error) bool {
	var answer *docker.Error
	return errors.As(err, &answer) && answer.Status == 409
}

// closeIdle lets go of connections to the engine. It always returns nil.
func closeIdle(pool *dockertest.Pool) error {
	pool.Client.HTTPClient.CloseIdleConnections()
	return nil
}
