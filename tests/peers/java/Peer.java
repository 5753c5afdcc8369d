// Loads a broker through the official Java client and prints one line of JSON, with the same arguments and the same
// fields as the Go and Rust programs beside it and as `rocketmq-producer bench --json`.
//
// Two ways to keep sends under way: `sync`, one thread per send, each calling send(message); and `async`, one thread
// that calls send(message, callback) whenever a semaphore lets it.

import com.sun.management.OperatingSystemMXBean;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

public final class Peer {
    private static DefaultMQProducer producer;
    private static String topic;
    private static byte[] body;
    private static boolean async;
    private static boolean batches;
    private static int batch;
    private static int concurrency;

    public static void main(String[] args) {
        long began = System.nanoTime();
        int status = 0;
        try {
            run(args, began);
        } catch (Throwable failure) {
            failure.printStackTrace();
            status = 1;
        }
        // Some of the client's threads are no daemons and would keep the process alive.
        Runtime.getRuntime().halt(status);
    }

    private static void run(String[] args, long began) throws Exception {
        PrintStream stdout = System.out;
        // Logging frameworks print to whatever standard output is at their start.
        System.setOut(System.err);
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i], args[i + 1]);
        }
        String mode = options.getOrDefault("--mode", "sync");
        int size = Integer.parseInt(options.getOrDefault("--body", "256"));
        int count = Integer.parseInt(options.getOrDefault("--count", "100000"));
        int warmUp = Integer.parseInt(options.getOrDefault("--warmup", "10000"));
        double rate = Double.parseDouble(options.getOrDefault("--rate", "0"));
        concurrency = Integer.parseInt(options.getOrDefault("--concurrency", "64"));
        topic = options.getOrDefault("--topic", "bench");
        body = printable(size);
        async = mode.equals("async");
        batches = mode.equals("batch");
        batch = batches ? Integer.parseInt(options.getOrDefault("--batch", "32")) : 1;

        producer = new DefaultMQProducer(options.getOrDefault("--group", "bench-java"));
        producer.setNamesrvAddr(options.get("--namesrv"));
        // Every client of a comparison sends the body as it is.
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        firstSend();
        double firstAck = (System.nanoTime() - began) / 1e6;
        if (warmUp > 0) {
            new Round(warmUp, 0).run();
        }
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        Round round = new Round(count, rate);
        long cpuBefore = system.getProcessCpuTime();
        long start = System.nanoTime();
        round.run();
        double secs = (System.nanoTime() - start) / 1e9;
        double cpu = (system.getProcessCpuTime() - cpuBefore) / 1e9;
        String memory = resident();
        if (round.firstError.get() != null) {
            System.err.println("the first failure: " + round.firstError.get());
        }
        long[] sorted = round.sorted();
        long acked = sorted.length;
        long failed = count - acked;
        stdout.printf(Locale.ROOT,
            "{\"peer\":\"java\",\"mode\":\"%s\",\"body\":%d,\"count\":%d,\"concurrency\":%d,\"acked\":%d,\"failed\":%d,"
                + "\"secs\":%.3f,\"msgs_per_s\":%.3f,\"cpu_s\":%.3f,\"cpu_us_per_msg\":%.3f,\"p50_us\":%.1f,"
                + "\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"rss_mib\":%s,\"first_ack_ms\":%.3f}%n",
            mode, size, count, concurrency, acked, failed, secs, acked / secs, cpu,
            cpu * 1e6 / Math.max(1, count), at(sorted, 0.5), at(sorted, 0.99), at(sorted, 0.999), at(sorted, 1.0),
            memory, firstAck);
        stdout.flush();
    }

    /** Until it is acknowledged: on a busy machine the client's own time limits are too short while it loads its classes. */
    private static void firstSend() throws Exception {
        for (int attempt = 1;; attempt++) {
            try {
                producer.send(new Message(topic, body));
                return;
            } catch (Exception late) {
                if (attempt == 10) {
                    throw late;
                }
            }
        }
    }

    /** So many messages, all of them answered at its end. */
    private static final class Round {
        private final int count;
        private final int requests;
        /** Of each request, in nanoseconds; 0 until it is acknowledged. */
        private final long[] latencies;
        private final AtomicInteger taken = new AtomicInteger();
        private final AtomicReference<Throwable> firstError = new AtomicReference<>();
        /** Nanoseconds between turns; 0 is as fast as answers come. */
        private final double interval;
        private final Semaphore due = new Semaphore(0);
        private long began;

        Round(int count, double rate) {
            this.count = count;
            this.requests = (count + batch - 1) / batch;
            this.latencies = new long[requests];
            this.interval = rate > 0 ? 1e9 * batch / rate : 0;
        }

        void run() throws InterruptedException {
            began = System.nanoTime();
            Thread pacer = interval > 0 ? new Thread(this::pace, "pacer") : null;
            if (pacer != null) {
                pacer.start();
            }
            if (async) {
                asynchronous();
            } else {
                synchronous();
            }
            if (pacer != null) {
                pacer.join();
            }
        }

        private void synchronous() throws InterruptedException {
            List<Thread> workers = new ArrayList<>();
            for (int i = 0; i < concurrency; i++) {
                Thread worker = new Thread(() -> {
                    for (int turn = next(); turn < requests; turn = next()) {
                        long since = since(turn);
                        try {
                            SendResult result = batches ? producer.send(messages(turn)) : producer.send(message());
                            settle(turn, since, result);
                        } catch (Exception failure) {
                            firstError.compareAndSet(null, failure);
                        }
                    }
                });
                worker.start();
                workers.add(worker);
            }
            for (Thread worker : workers) {
                worker.join();
            }
        }

        private void asynchronous() throws InterruptedException {
            Semaphore places = new Semaphore(concurrency);
            for (int next = next(); next < requests; next = next()) {
                int turn = next;
                places.acquire();
                long since = since(turn);
                try {
                    producer.send(message(), new SendCallback() {
                        @Override
                        public void onSuccess(SendResult result) {
                            settle(turn, since, result);
                            places.release();
                        }

                        @Override
                        public void onException(Throwable failure) {
                            firstError.compareAndSet(null, failure);
                            places.release();
                        }
                    });
                } catch (Exception failure) {
                    firstError.compareAndSet(null, failure);
                    places.release();
                }
            }
            places.acquire(concurrency);
        }

        private int next() {
            if (interval > 0) {
                due.acquireUninterruptibly();
            }
            return taken.getAndIncrement();
        }

        /** When a turn's time begins: with a rate when it was due, whether or not somebody was free to take it. */
        private long since(int turn) {
            return interval > 0 ? dueAt(turn) : System.nanoTime();
        }

        private long dueAt(int turn) {
            return began + (long) (interval * turn);
        }

        private void pace() {
            for (int turn = 0; turn < requests; turn++) {
                long wait = dueAt(turn) - System.nanoTime();
                while (wait > 0) {
                    LockSupport.parkNanos(wait);
                    wait = dueAt(turn) - System.nanoTime();
                }
                due.release();
            }
            // Every worker learns that there are no more turns.
            due.release(concurrency);
        }

        private void settle(int turn, long since, SendResult result) {
            if (result.getSendStatus() == SendStatus.SEND_OK) {
                latencies[turn] = System.nanoTime() - since;
            } else {
                firstError.compareAndSet(null, new IllegalStateException(result.toString()));
            }
        }

        private Message message() {
            return new Message(topic, body);
        }

        private int inTurn(int turn) {
            return Math.min(batch, count - turn * batch);
        }

        private List<Message> messages(int turn) {
            List<Message> messages = new ArrayList<>(batch);
            for (int i = inTurn(turn); i > 0; i--) {
                messages.add(message());
            }
            return messages;
        }

        /** The latency of every acknowledged message. */
        long[] sorted() {
            long[] all = new long[count];
            int length = 0;
            for (int turn = 0; turn < requests; turn++) {
                if (latencies[turn] > 0) {
                    Arrays.fill(all, length, length + inTurn(turn), latencies[turn]);
                    length += inTurn(turn);
                }
            }
            long[] acked = Arrays.copyOf(all, length);
            Arrays.sort(acked);
            return acked;
        }
    }

    private static double at(long[] sorted, double quantile) {
        int rank = (int) Math.ceil(quantile * sorted.length);
        return sorted.length == 0 ? 0 : sorted[Math.max(0, rank - 1)] / 1e3;
    }

    /** The same bytes in every run, which hardly compress. */
    private static byte[] printable(int size) {
        long state = 0x2545f4914f6cdd1dL;
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            state ^= state << 13;
            state ^= state >>> 7;
            state ^= state << 17;
            bytes[i] = (byte) ('!' + Long.remainderUnsigned(state, 94));
        }
        return bytes;
    }

    private static String resident() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmRSS:")) {
                    double kib = Double.parseDouble(line.replaceAll("[^0-9]", ""));
                    return String.format(Locale.ROOT, "%.1f", kib / 1024);
                }
            }
        } catch (java.io.IOException notLinux) {
            return "null";
        }
        return "null";
    }
}
