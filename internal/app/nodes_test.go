package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/apitest"
	"marquee/internal/app"
	"marquee/internal/apperr"
	"marquee/internal/config"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/dbtest/rulebook"
	"marquee/internal/gqlclient"
	"marquee/internal/typeid"
)

// What the process of nodeElsewhere is told by.
const (
	nodeDatabase = "MARQUEE_TEST_NODE_DATABASE"
	nodeKeyset   = "MARQUEE_TEST_NODE_KEYSET"
	nodeData     = "MARQUEE_TEST_NODE_DATA"
	nodeListen   = "MARQUEE_TEST_NODE_LISTEN"
	nodeCluster  = "MARQUEE_TEST_NODE_CLUSTER"
	nodePeer     = "MARQUEE_TEST_NODE_PEER"
	nodeBank     = "MARQUEE_TEST_NODE_BANK"
)

// TestNodeChild is what another process does that a test has started; by itself it does nothing.
func TestNodeChild(t *testing.T) {
	t.Parallel()
	database, told := os.LookupEnv(nodeDatabase)
	if !told {
		return
	}
	cfg := configuration(t, database)
	cfg.Keyset, cfg.DataDir, cfg.Listen = config.Secret(os.Getenv(nodeKeyset)), os.Getenv(nodeData), os.Getenv(nodeListen)
	cfg.Demo, cfg.DatabaseConns = new(false), nodeConns
	cfg.SandboxURL, cfg.SandboxKey, cfg.SandboxSecret = os.Getenv(nodeBank), apitest.BankKey, apitest.BankKey
	inCluster(os.Getenv(nodeCluster), os.Getenv(nodePeer))(&cfg)
	a, err := app.New(t.Context(), cfg, slog.New(slog.DiscardHandler), app.Seams{})
	if err != nil {
		t.Fatal(err)
	}
	t.Fatal(errors.Join(a.Run(t.Context()), a.Close())) // it is to be killed
}

const nodeConns = 8

// inCluster makes a node one of two.
func inCluster(listen, peer string) func(*config.Config) {
	return func(c *config.Config) {
		c.ClusterListen, c.ClusterPeers, c.ClusterPassword = listen, []string{"nats-route://" + peer}, "a password of two nodes"
	}
}

// nodes are two processes that serve one database: the one of the test, which stays, and another, which is killed again
// and again.
type nodes struct {
	*apitest.App

	other   string // address of the other
	start   func() *exec.Cmd
	process *exec.Cmd
	http    *http.Client
	lost    atomic.Int64 // answers that never came
}

func newNodes(t *testing.T) *nodes {
	t.Helper()
	here, there := spare(t), spare(t)
	n := &nodes{
		App: apitest.New(t, apitest.Bare(), apitest.With(inCluster(here, there))), other: spare(t),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: apitest.Patience},
	}
	bank := httptest.NewServer(n.Bank)
	t.Cleanup(bank.Close)
	n.start = func() *exec.Cmd {
		process := elsewhere(context.WithoutCancel(t.Context()), t, "TestNodeChild", nodeDatabase+"="+string(n.Config.DatabaseURL),
			nodeKeyset+"="+dbtest.Keyset(), nodeData+"="+n.Config.DataDir, nodeListen+"="+n.other, nodeCluster+"="+there, nodePeer+"="+here, nodeBank+"="+bank.URL)
		if err := process.Start(); err != nil {
			t.Errorf("start a node: %v", err)
		}
		return process
	}
	n.process = n.start()
	t.Cleanup(func() {
		n.kill(t)
		n.http.CloseIdleConnections()
	})
	return n
}

// kill kills the other node as a failing machine would. No goroutine beside the caller uses the process.
func (n *nodes) kill(t *testing.T) {
	t.Helper()
	if err := n.process.Process.Kill(); err != nil {
		t.Errorf("kill a node: %v", err)
	}
	var exit *exec.ExitError
	if err := n.process.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("the node ended by itself: %v", err)
	}
}

// serves reports whether the other node answers.
func (n *nodes) serves() bool {
	err := gqlclient.Client{URL: "http://" + n.other + "/graphql", HTTP: n.http}.Do(context.Background(), `{ __typename }`, nil, nil)
	return err == nil
}

// ask sends a command to one of the nodes, and the same again to the other when the one does not answer.
func (n *nodes) ask(random *rand.Rand, who gqlclient.Client, query string, input map[string]any, out any) error {
	urls := []string{n.URL, "http://" + n.other}
	who.HTTP = n.http
	for first := random.IntN(2); ; first++ {
		who.URL = urls[first%2] + "/graphql"
		err := who.Do(context.Background(), query, map[string]any{"in": input}, out)
		if _, answered := errors.AsType[*gqlclient.Error](err); err == nil || answered {
			return err
		}
		if who.URL == n.URL+"/graphql" {
			return err // this one stays
		}
		if !errors.Is(err, syscall.ECONNREFUSED) { // it was asked, and died over it
			n.lost.Add(1)
		}
	}
}

// TestRace_over_two_nodes lets 500 clients fight for the 100 seats of a showtime at two nodes, one of which is killed at
// any moment and started again. Who gets no answer asks the other node the same. What is left in the tables keeps every
// rule, every attempt comes to its end, and everybody got what they were told.
func TestRace_over_two_nodes(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	w := fixture.New(t, n.DB(), fixture.Plan{Seats: 100, MaxSeats: 6})
	const clients, accounts, kills = 500, 50, 6
	customers := make([]apitest.Client, accounts)
	for i := range customers {
		customers[i] = n.Customer()
	}
	eventually(t, "the other node serves", n.serves)

	c := &contest{nodes: n, world: w, told: map[string]string{}, counts: map[string]int{}}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var all sync.WaitGroup
	var visits atomic.Int64
	start, over := make(chan struct{}), make(chan struct{})
	for i := range clients {
		all.Go(func() {
			<-start
			c.visit(rand.New(rand.NewPCG(seed, uint64(i))), customers[i%accounts].Client)
			visits.Add(1)
		})
	}
	close(start)
	go func() { all.Wait(); close(over) }()
	for i := range kills {
		due := int64((i + 1) * clients / (kills + 1))
		eventually(t, "the contest goes on", func() bool { return visits.Load() >= due && n.serves() })
		n.kill(t)
		n.process = n.start()
	}
	<-over
	for _, problem := range c.problems {
		t.Error(problem)
	}

	c.settle(t)
	breaches, err := rulebook.Breaches(timeLimit(t), n.DB().SQL(), append(rulebook.Always(), rulebook.AtRest()...)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range breaches {
		t.Error(breach)
	}
	c.judge(t)
	t.Logf("%d kills, %d lost answers; %v", kills, n.lost.Load(), c.counts)
	if n.lost.Load() == 0 {
		t.Error("no answer was lost")
	}
	for _, kind := range []string{"ReserveSeatsPayload", "SeatsUnavailable", "PayReservationPayload", "CancelReservationPayload"} {
		if c.counts[kind] == 0 {
			t.Errorf("the contest had no %s among %v", kind, slices.Sorted(maps.Keys(c.counts)))
		}
	}
}

// contest is what happens at the two nodes.
type contest struct {
	*nodes
	world *fixture.World

	mu       sync.Mutex
	told     map[string]string // the last answer about a reservation, by its id
	counts   map[string]int    // of answers, by type
	problems []string
}

const (
	raceReserve = `mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) { __typename ... on ReserveSeatsPayload { reservation { id } } } }`
	racePay     = `mutation ($in: PayReservationInput!) { payReservation(input: $in) { __typename } }`
	raceCancel  = `mutation ($in: CancelReservationInput!) { cancelReservation(input: $in) { __typename } }`
)

// visit is what one client does: seats anywhere, mostly paid, sometimes given back.
func (c *contest) visit(random *rand.Rand, who gqlclient.Client) {
	var seats []string
	for _, position := range random.Perm(len(c.world.Seats))[:1+random.IntN(4)] {
		seats = append(seats, typeid.Encode(typeid.Seat, c.world.Seats[position].ID))
	}
	kind, reservation := c.command(random, who, raceReserve, map[string]any{
		"showtimeId": typeid.Encode(typeid.Showtime, c.world.Show()), "seatIds": seats, "idempotencyKey": uuid.NewString(),
	})
	if kind != "ReserveSeatsPayload" {
		return
	}
	if random.IntN(4) > 0 {
		kind, _ = c.command(random, who, racePay, map[string]any{"reservationId": reservation, "idempotencyKey": uuid.NewString()})
		c.tell(reservation, kind)
	}
	if random.IntN(2) == 0 {
		kind, _ = c.command(random, who, raceCancel, map[string]any{"reservationId": reservation})
		c.tell(reservation, kind)
	}
}

// command sends one command and returns the type of its answer, "" for a conflict or when everybody wants the same
// seats, and the id of a reservation that was made.
func (c *contest) command(random *rand.Rand, who gqlclient.Client, query string, input map[string]any) (kind, reservation string) {
	var out map[string]struct {
		Typename    string `json:"__typename"`
		Reservation struct{ ID string }
	}
	err := c.ask(random, who, query, input, &out)
	c.mu.Lock()
	defer c.mu.Unlock()
	if code := gqlclient.CodeOf(err); code == apperr.Conflict || code == apperr.Unavailable {
		c.counts["to be asked again"]++
		return "", ""
	}
	if err != nil {
		c.problems = append(c.problems, err.Error())
	}
	for _, answer := range out {
		c.counts[answer.Typename]++
		return answer.Typename, answer.Reservation.ID
	}
	return "", ""
}

// tell notes what a customer was told of a reservation, if it was anything.
func (c *contest) tell(reservation, kind string) {
	if kind == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[reservation] = kind
}

// settle gives every attempt and refund that a dead node has left to this one, and ends what is held.
func (c *contest) settle(t *testing.T) {
	t.Helper()
	const open = `SELECT ((SELECT count(*) FROM payment_attempts WHERE status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'))
		+ (SELECT count(*) FROM refunds WHERE status = 'PENDING'))::text`
	db := c.DB()
	eventually(t, "what the dead have begun comes to its end", func() bool {
		for _, table := range []string{"payment_attempts", "refunds"} {
			c.world.Exec(t, `UPDATE `+table+` SET leased_until = now() - interval '1 second' WHERE leased_until > now()`)
		}
		if _, err := c.Booking.Reconcile(timeLimit(t)); err != nil {
			t.Fatal(err)
		}
		return texts(t, db, open)[0] == "0"
	})
	for _, table := range []string{"reservations", "seat_claims"} {
		c.world.Exec(t, `UPDATE `+table+` SET held_until = now() - interval '1 second' WHERE held_until IS NOT NULL`)
	}
	eventually(t, "the holds are over", func() bool {
		if _, _, err := c.Booking.Sweep(timeLimit(t)); err != nil {
			t.Fatal(err)
		}
		return texts(t, db, `SELECT count(*)::text FROM reservations WHERE status = 'HELD'`)[0] == "0"
	})
}

// judge compares what everybody was told, and the sandbox's books, with what came of it.
func (c *contest) judge(t *testing.T) {
	t.Helper()
	wants := map[string][]string{
		"PayReservationPayload": {"CONFIRMED"}, "CancelReservationPayload": {"CANCELLED"},
		"ReservationExpired": {"EXPIRED"}, "PaymentDeclined": {"EXPIRED"}, "PaymentPending": {"CONFIRMED", "EXPIRED"},
	}
	for id, kind := range c.told {
		showtime, key, err := typeid.DecodeIn(typeid.Reservation, id)
		if err != nil {
			t.Fatal(err)
		}
		status := fixture.Get[string](t, c.DB(), `SELECT status FROM reservations WHERE showtime_id = $1 AND id = $2`, showtime, key)
		if !slices.Contains(wants[kind], status) {
			t.Errorf("a customer was told %s of a reservation that is %s", kind, status)
		}
	}
	books, err := json.Marshal(c.Bank.Charges())
	if err != nil {
		t.Fatal(err)
	}
	differ := fixture.Get[int](t, c.DB(), `SELECT count(*) FROM payment_attempts a
		JOIN payments p ON p.showtime_id = a.showtime_id AND p.id = a.payment_id
		FULL JOIN jsonb_to_recordset($1) AS c (key text, "capturedMinor" bigint, "refundedMinor" bigint) ON c.key = a.id::text
		WHERE coalesce(c."capturedMinor" - c."refundedMinor", 0) <> CASE WHEN a.status = 'CAPTURED' THEN a.amount_minor - p.refunded_minor ELSE 0 END`,
		string(books))
	if differ != 0 {
		t.Errorf("%d charges differ from the attempts they are for", differ)
	}
}
