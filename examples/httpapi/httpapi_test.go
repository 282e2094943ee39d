package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/examples/internal/anydb/anydbtest"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/uow"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// service is the API, served to real clients.
type service struct {
	t      *testing.T
	api    api
	url    string
	client *http.Client
	ended  chan string // a pattern for each request whose handler has returned
}

func start(t *testing.T, address string) *service {
	t.Helper()
	m := anydbtest.Open(t, address)
	if err := createTables(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, api: newAPI(m), ended: make(chan string, 100)}
	// A test that depends on what the API itself gives up on must fail before.
	s.api.timeout, s.api.wait = 5*anydbtest.Patience, 5*anydbtest.Patience
	return s
}

// serve begins to serve. What is changed of the API must be changed before.
func (s *service) serve() *service {
	routes := s.api.routes()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { s.ended <- r.Pattern }()
		routes.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

// an answer is what a client got.
type answer struct {
	code           int
	location, body string
}

// buy sends an order and returns the answer once the handler has returned.
func (s *service) buy(id, customer, article string) answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), anydbtest.Patience)
	defer cancel()
	got, err := s.post(ctx, id, customer, article)
	if err != nil {
		s.t.Fatal(err)
	}
	s.awaitEnd()
	return got
}

// awaitEnd waits until a handler has returned.
func (s *service) awaitEnd() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(anydbtest.Patience):
		s.t.Fatal("the handler does not return")
	}
}

func (s *service) post(ctx context.Context, id, customer, article string) (answer, error) {
	form := url.Values{"id": {id}, "customer": {customer}, "article": {article}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/orders", strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.send(request)
}

func (s *service) send(request *http.Request) (answer, error) {
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Location"), string(body)}, err
}

// wantLeft checks what is in the database, and that all connections are back.
func (s *service) wantLeft(orders, lamps int) {
	s.t.Helper()
	pooltest.WantAllBack(s.t, s.api.m.DB())
	if n := anydbtest.Int(s.t, s.api.m, "select count(*) from api_order"); n != orders {
		s.t.Errorf("%d orders, want %d", n, orders)
	}
	if n := anydbtest.Int(s.t, s.api.m, "select quantity from api_stock where article = 'lamp'"); n != lamps {
		s.t.Errorf("%d lamps left, want %d", n, lamps)
	}
}

func TestOrderIsSavedAndShown(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		s := start(t, address).serve()
		if got := s.buy("a1", "7", "lamp"); got.code != http.StatusCreated || got.location != "/orders/a1" {
			t.Errorf("answer %+v", got)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/orders/a1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.send(request); err != nil || got.code != http.StatusOK || got.body != "customer 7 ordered a lamp\n" {
			t.Errorf("answer %+v, error %v", got, err)
		}
		s.awaitEnd()
		s.wantLeft(1, 4)
	})
}

// Each of these returns from the handler by a way of its own, with one
// connection in the pool: who leaked it would be waited for without end.
func TestEveryOtherWayOutWritesNothing(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		s := start(t, address)
		s.api.m.DB().SetMaxOpenConns(1)
		s.serve()
		s.buy("a1", "7", "lamp")
		for range 3 {
			if got := s.buy("a2", "8", "chair"); got.code != http.StatusSeeOther || got.location != "/sold-out" {
				t.Errorf("sold out: %+v", got)
			}
			if got := s.buy("a3", "7", "lamp"); got.code != http.StatusConflict {
				t.Errorf("ordered already: %+v", got)
			}
			if got := s.buy("a1", "9", "lamp"); got.code != http.StatusConflict {
				t.Errorf("an ID is used again: %+v", got)
			}
			if got := s.buy("a4", "7", "boat"); got.code != http.StatusUnprocessableEntity {
				t.Errorf("no such article: %+v", got)
			}
			if got := s.buy("a4", "3000000000", "lamp"); got.code != http.StatusBadRequest {
				t.Errorf("a customer's number that is too long: %+v", got)
			}
			if got := s.buy("a4", "nobody", "lamp"); got.code != http.StatusBadRequest {
				t.Errorf("no customer: %+v", got)
			}
		}
		s.wantLeft(1, 4)
		// Nor is a lock left behind.
		if got := s.buy("a5", "8", "lamp"); got.code != http.StatusCreated {
			t.Errorf("after all that: %+v", got)
		}
		s.wantLeft(2, 3)
	})
}

func TestPanicWritesNothing(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		s := start(t, address)
		recorder := httptest.NewRecorder()
		handler := s.api.withManager("POST /panic", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx, scope, err := s.api.m.Begin(r.Context())
			if err != nil {
				t.Error(err)
			}
			defer scope.Close()
			if err := saveOrder(ctx, order{"a1", 7, "lamp"}); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		}))
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic got lost")
				}
			}()
			handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/panic", nil))
		}()
		s.wantLeft(0, 5)
	})
}

// A function that is handed a ctx of nobody's must not write at all.
func TestWithoutManager(t *testing.T) {
	t.Parallel()
	if err := saveOrder(t.Context(), order{"a1", 7, "lamp"}); err != uow.ErrNoManager {
		t.Errorf("error %v, want ErrNoManager", err)
	}
}
