// Loads a broker through the Go client and prints one line of JSON, with the same arguments and the same fields as
// the Java and Rust programs beside it and as `rocketmq-producer bench --json`.
//
// The fastest way that was found: one goroutine per send under way, each calling SendSync.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var (
	nameServers = flag.String("namesrv", "127.0.0.1:9876", "name servers, separated by ;")
	topic       = flag.String("topic", "bench", "topic to send to")
	group       = flag.String("group", "bench-go", "producer group")
	mode        = flag.String("mode", "sync", "sync or batch")
	size        = flag.Int("body", 256, "bytes of a body")
	count       = flag.Int("count", 100000, "messages to measure")
	warmUp      = flag.Int("warmup", 10000, "messages before")
	concurrency = flag.Int("concurrency", 64, "sends under way")
	perBatch    = flag.Int("batch", 32, "messages of a batch")
	rate        = flag.Float64("rate", 0, "messages due per second; 0 is as fast as answers come")
)

// load is what to send.
type load struct {
	producer rocketmq.Producer
	body     []byte
	batch    int
}

// outcome is what came of it.
type outcome struct {
	acked, failed int
	latencies     []int64
	firstError    error
}

func main() {
	began := time.Now()
	flag.Parse()
	if err := run(began); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(began time.Time) error {
	rlog.SetLogLevel("error")
	client, err := rocketmq.NewProducer(
		producer.WithNameServer(strings.Split(*nameServers, ";")),
		producer.WithGroupName(*group),
		// Every client of a comparison sends the body as it is.
		producer.WithCompressMsgBodyOverHowmuch(math.MaxInt32),
	)
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	load := &load{producer: client, body: printable(*size), batch: 1}
	if *mode == "batch" {
		load.batch = *perBatch
	}
	if err := load.send(1); err != nil {
		return err
	}
	firstAck := time.Since(began)
	if *warmUp > 0 {
		load.round(*warmUp, 0)
	}
	cpu, start := cpuTime(), time.Now()
	result := load.round(*count, *rate)
	secs, cpu := time.Since(start).Seconds(), cpuTime()-cpu
	memory := residentMiB()
	if result.firstError != nil {
		fmt.Fprintf(os.Stderr, "%d failed, the first one so: %v\n", result.failed, result.firstError)
	}
	sort.Slice(result.latencies, func(i, j int) bool { return result.latencies[i] < result.latencies[j] })
	at := func(quantile float64) float64 { return quantileOf(result.latencies, quantile) }
	fmt.Printf("{\"peer\":\"go\",\"mode\":%q,\"body\":%d,\"count\":%d,\"concurrency\":%d,\"acked\":%d,\"failed\":%d,"+
		"\"secs\":%.3f,\"msgs_per_s\":%.3f,\"cpu_s\":%.3f,\"cpu_us_per_msg\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,"+
		"\"p999_us\":%.1f,\"max_us\":%.1f,\"rss_mib\":%.1f,\"first_ack_ms\":%.3f}\n",
		*mode, *size, *count, *concurrency, result.acked, result.failed, secs, float64(result.acked)/secs,
		cpu, cpu*1e6/math.Max(1, float64(result.acked+result.failed)), at(0.5), at(0.99), at(0.999), at(1),
		memory, float64(firstAck.Nanoseconds())/1e6)
	return nil
}

func (l *load) send(messages int) error {
	batch := make([]*primitive.Message, messages)
	for i := range batch {
		batch[i] = primitive.NewMessage(*topic, l.body)
	}
	result, err := l.producer.SendSync(context.Background(), batch...)
	if err == nil && result.Status != primitive.SendOK {
		err = errors.New(result.String())
	}
	return err
}

// round sends so many messages, all of them answered at its end.
func (l *load) round(count int, rate float64) outcome {
	turns := newTurns(count, l.batch, rate)
	var (
		total   outcome
		lock    sync.Mutex
		workers sync.WaitGroup
	)
	for i := 0; i < *concurrency; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			var mine outcome
			for since, messages := turns.next(); messages > 0; since, messages = turns.next() {
				if err := l.send(messages); err != nil {
					mine.failed += messages
					mine.firstError = err
					continue
				}
				latency := time.Since(since).Nanoseconds()
				mine.acked += messages
				for j := 0; j < messages; j++ {
					mine.latencies = append(mine.latencies, latency)
				}
			}
			lock.Lock()
			defer lock.Unlock()
			total.acked += mine.acked
			total.failed += mine.failed
			total.latencies = append(total.latencies, mine.latencies...)
			if total.firstError == nil {
				total.firstError = mine.firstError
			}
		}()
	}
	if rate > 0 {
		go turns.pace()
	}
	workers.Wait()
	return total
}

// turns hands out turns to send. With a rate they come due by the clock, whatever the answers do, and count from then.
type turns struct {
	count, batch, requests int
	taken                  atomic.Int64
	began                  time.Time
	interval               float64
	due                    chan struct{}
}

func newTurns(count, batch int, rate float64) *turns {
	t := &turns{count: count, batch: batch, requests: (count + batch - 1) / batch, began: time.Now()}
	if rate > 0 {
		t.interval = 1e9 * float64(batch) / rate
		// Room for every turn: whoever falls behind does not hold up the clock.
		t.due = make(chan struct{}, t.requests)
	}
	return t
}

func (t *turns) next() (since time.Time, messages int) {
	if t.due != nil {
		<-t.due
	}
	turn := int(t.taken.Add(1)) - 1
	if turn >= t.requests {
		return time.Time{}, 0
	}
	since = time.Now()
	if t.due != nil {
		since = t.dueAt(turn)
	}
	return since, min(t.batch, t.count-turn*t.batch)
}

func (t *turns) dueAt(turn int) time.Time {
	return t.began.Add(time.Duration(t.interval * float64(turn)))
}

// pace has a thread of its own and sleeps by the system's call: the runtime's timers wake late by up to a millisecond.
func (t *turns) pace() {
	runtime.LockOSThread()
	for turn := 0; turn < t.requests; turn++ {
		for wait := time.Until(t.dueAt(turn)); wait > 0; wait = time.Until(t.dueAt(turn)) {
			pause := syscall.NsecToTimespec(wait.Nanoseconds())
			_ = syscall.Nanosleep(&pause, nil)
		}
		t.due <- struct{}{}
	}
	// Every worker learns that there are no more turns.
	close(t.due)
}

// printable is the same bytes in every run, which hardly compress.
func printable(size int) []byte {
	state := uint64(0x2545f4914f6cdd1d)
	bytes := make([]byte, size)
	for i := range bytes {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		bytes[i] = '!' + byte(state%94)
	}
	return bytes
}

func quantileOf(sorted []int64, quantile float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(quantile * float64(len(sorted))))
	return float64(sorted[max(0, rank-1)]) / 1e3
}

// cpuTime is that of the whole process, in seconds.
func cpuTime() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return math.NaN()
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func residentMiB() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			var kib float64
			if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%f", &kib); err == nil {
				return kib / 1024
			}
		}
	}
	return 0
}
