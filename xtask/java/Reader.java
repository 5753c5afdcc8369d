// An independent look at what brokers hold, and an independent producer, on Apache's own client.
// One file for all versions: `var` hides the packages that moved between 4.x and 5.x.
// Standard output carries one JSON object per line and nothing else.

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.impl.MQClientManager;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.netty.NettyRemotingClient;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;

public final class Reader {
    private static final int PULL = 1024;
    private static final Map<String, DefaultMQPullConsumer> CONSUMERS = new HashMap<>();
    private static final Map<String, DefaultMQAdminExt> ADMINS = new HashMap<>();
    private static NettyRemotingClient asker;
    private static BufferedWriter out;

    public static void main(String[] args) {
        int status = 0;
        try {
            run(args);
        } catch (Throwable failure) {
            failure.printStackTrace();
            status = 1;
        }
        // Some of the client's threads are no daemons and would keep the process alive.
        Runtime.getRuntime().halt(status);
    }

    private static void run(String[] args) throws Exception {
        PrintStream stdout = System.out;
        // Logging frameworks print to whatever standard output is at their start.
        System.setOut(System.err);
        out = new BufferedWriter(new OutputStreamWriter(stdout, StandardCharsets.UTF_8), 1 << 16);
        if (args[0].equals("serve")) {
            serve();
        } else {
            command(args);
        }
        out.flush();
    }

    /** One command a line, an array in JSON. Its answer ends with a line "." or, if it failed, "!" and why. */
    private static void serve() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String end = ".";
            try {
                command(RemotingSerializable.fromJson(line, String[].class));
            } catch (Throwable failure) {
                failure.printStackTrace();
                end = "!" + String.valueOf(failure).replace('\n', ' ');
            }
            out.append(end).append('\n');
            out.flush();
        }
    }

    private static void command(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i < args.length; i += 2) {
            options.put(args[i], args[i + 1]);
        }
        switch (args[0]) {
            case "read":
                read(options);
                break;
            case "producers":
                producers(options);
                break;
            case "send":
                send(options);
                break;
            case "ask":
                ask(options);
                break;
            case "admin":
                tool(options);
                break;
            case "find":
                find(options);
                break;
            case "reply":
                reply(options);
                break;
            default:
                throw new IllegalArgumentException("unknown command " + args[0]);
        }
    }

    /** Runs a command of Apache's tool. */
    private static void tool(Map<String, String> options) {
        MQAdminStartup.main0(options.get("--line").split(" "), hook(options));
    }

    private static DefaultMQPullConsumer consumer(Map<String, String> options) throws Exception {
        String servers = options.get("--namesrv");
        DefaultMQPullConsumer consumer = CONSUMERS.get(servers);
        if (consumer == null) {
            consumer = new DefaultMQPullConsumer("xtask_reader", hook(options));
            consumer.setNamesrvAddr(servers);
            consumer.setInstanceName("reader-" + System.nanoTime());
            consumer.start();
            CONSUMERS.put(servers, consumer);
        }
        return consumer;
    }

    private static DefaultMQAdminExt admin(Map<String, String> options) throws Exception {
        String servers = options.get("--namesrv");
        DefaultMQAdminExt admin = ADMINS.get(servers);
        if (admin == null) {
            admin = new DefaultMQAdminExt(hook(options));
            admin.setNamesrvAddr(servers);
            admin.setInstanceName("admin-" + System.nanoTime());
            admin.start();
            ADMINS.put(servers, admin);
        }
        return admin;
    }

    private static void read(Map<String, String> options) throws Exception {
        String topic = options.get("--topic");
        boolean digest = options.containsKey("--digest");
        long atLeast = Long.parseLong(options.getOrDefault("--at-least", "0"));
        long deadline = System.currentTimeMillis() + Long.parseLong(options.getOrDefault("--wait-ms", "0"));
        DefaultMQPullConsumer consumer = consumer(options);
        List<MessageQueue> queues = new ArrayList<>(patiently(deadline, () -> consumer.fetchSubscribeMessageQueues(topic)));
        long[] next = new long[queues.size()];
        for (int i = 0; i < next.length; i++) {
            MessageQueue queue = queues.get(i);
            next[i] = patiently(deadline, () -> consumer.minOffset(queue));
        }
        AtomicLong total = new AtomicLong();
        ExecutorService pool = Executors.newFixedThreadPool(Math.min(8, Math.max(1, queues.size())));
        try {
            readAll(consumer, queues, next, pool, total, digest, atLeast, deadline);
        } finally {
            pool.shutdown();
        }
    }

    private static void readAll(DefaultMQPullConsumer consumer, List<MessageQueue> queues, long[] next,
                                ExecutorService pool, AtomicLong total, boolean digest, long atLeast,
                                long deadline) throws Exception {
        // A queue's end moves until the broker has indexed what it stored: done when a whole round brings nothing.
        while (true) {
            long before = total.get();
            List<Future<?>> round = new ArrayList<>();
            for (int i = 0; i < next.length; i++) {
                int index = i;
                round.add(pool.submit(() -> {
                    next[index] = readQueue(consumer, queues.get(index), next[index], digest, total);
                    return null;
                }));
            }
            for (Future<?> queue : round) {
                queue.get();
            }
            boolean settled = total.get() == before;
            if (settled && (total.get() >= atLeast || System.currentTimeMillis() >= deadline)) {
                return;
            }
            Thread.sleep(100);
        }
    }

    /** Asks again until the deadline: a server on a busy machine may be late once. */
    private static <T> T patiently(long deadline, Callable<T> question) throws Exception {
        while (true) {
            try {
                return question.call();
            } catch (MQClientException late) {
                if (System.currentTimeMillis() >= deadline) {
                    throw late;
                }
                Thread.sleep(100);
            }
        }
    }

    private static long readQueue(DefaultMQPullConsumer consumer, MessageQueue queue, long from, boolean digest,
                                  AtomicLong total) throws Exception {
        long offset = from;
        long end = consumer.maxOffset(queue);
        StringBuilder lines = new StringBuilder();
        MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
        while (offset < end) {
            var result = consumer.pull(queue, "*", offset, PULL);
            if (result.getPullStatus() == PullStatus.FOUND) {
                for (MessageExt message : result.getMsgFoundList()) {
                    line(lines, queue, message, digest, sha256);
                    total.incrementAndGet();
                }
                synchronized (out) {
                    out.append(lines);
                }
                lines.setLength(0);
            } else if (result.getNextBeginOffset() <= offset) {
                throw new IllegalStateException("no progress in " + queue + " at " + offset + ": " + result);
            }
            offset = result.getNextBeginOffset();
        }
        return offset;
    }

    private static void line(StringBuilder line, MessageQueue queue, MessageExt message, boolean digest,
                             MessageDigest sha256) {
        byte[] body = message.getBody() == null ? new byte[0] : message.getBody();
        line.append('{');
        text(line, "topic", message.getTopic()).append(',');
        text(line, "broker", queue.getBrokerName()).append(',');
        number(line, "queue", message.getQueueId()).append(',');
        number(line, "offset", message.getQueueOffset()).append(',');
        text(line, "msgId", message.getMsgId()).append(',');
        String offsetId = message instanceof MessageClientExt ? ((MessageClientExt) message).getOffsetMsgId() : null;
        text(line, "offsetMsgId", offsetId).append(',');
        text(line, "keys", message.getKeys()).append(',');
        text(line, "tags", message.getTags()).append(',');
        number(line, "flag", message.getFlag()).append(',');
        number(line, "sysFlag", message.getSysFlag()).append(',');
        number(line, "bornTimestamp", message.getBornTimestamp()).append(',');
        text(line, "bornHost", message.getBornHostString()).append(',');
        number(line, "storeTimestamp", message.getStoreTimestamp()).append(',');
        line.append("\"properties\":{");
        String comma = "";
        for (Map.Entry<String, String> property : message.getProperties().entrySet()) {
            line.append(comma);
            text(line, property.getKey(), property.getValue());
            comma = ",";
        }
        line.append("},");
        number(line, "len", body.length).append(',');
        text(line, "sha256", hex(sha256.digest(body)));
        if (!digest) {
            line.append(',');
            text(line, "body_base64", Base64.getEncoder().encodeToString(body));
        }
        line.append("}\n");
    }

    private static void producers(Map<String, String> options) throws Exception {
        DefaultMQAdminExt admin = admin(options);
        // The admin's own call asks one broker of the topic only.
        MQClientInstance client = MQClientManager.getInstance().getOrCreateMQClientInstance(admin);
        for (var broker : admin.examineTopicRouteInfo(options.get("--topic")).getBrokerDatas()) {
            String address = broker.selectBrokerAddr();
            try {
                var list = client.getMQClientAPIImpl()
                        .getProducerConnectionList(address, options.get("--group"), 5000);
                for (var connection : list.getConnectionSet()) {
                    StringBuilder line = new StringBuilder("{");
                    text(line, "broker", broker.getBrokerName()).append(',');
                    text(line, "clientId", connection.getClientId()).append(',');
                    text(line, "address", connection.getClientAddr()).append(',');
                    text(line, "language", String.valueOf(connection.getLanguage())).append(',');
                    number(line, "version", connection.getVersion()).append(',');
                    text(line, "versionName", MQVersion.getVersionDesc(connection.getVersion())).append("}\n");
                    out.append(line);
                }
            } catch (MQBrokerException refused) {
                // What a broker says that knows no producer of the group.
                if (!String.valueOf(refused.getErrorMessage()).contains("not exist")) {
                    throw refused;
                }
            }
        }
    }

    /** By unique key, key or offset message id, whatever is given. */
    private static void find(Map<String, String> options) throws Exception {
        DefaultMQAdminExt admin = admin(options);
        String topic = options.get("--topic");
        List<MessageExt> found = new ArrayList<>();
        if (options.containsKey("--offset-id")) {
            found.add(admin.viewMessage(topic, options.get("--offset-id")));
        } else if (options.containsKey("--unique-key")) {
            MQClientInstance client = MQClientManager.getInstance().getOrCreateMQClientInstance(admin);
            // Brokers index a message some time after they stored it.
            long deadline = System.currentTimeMillis() + Long.parseLong(options.getOrDefault("--wait-ms", "0"));
            MessageExt one = patiently(deadline,
                    () -> client.getMQAdminImpl().queryMessageByUniqKey(topic, options.get("--unique-key")));
            if (one != null) {
                found.add(one);
            }
        } else {
            long deadline = System.currentTimeMillis() + Long.parseLong(options.getOrDefault("--wait-ms", "0"));
            found.addAll(patiently(deadline,
                    () -> admin.queryMessage(topic, options.get("--key"), 64, 0, Long.MAX_VALUE).getMessageList()));
        }
        MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
        StringBuilder lines = new StringBuilder();
        for (MessageExt message : found) {
            // Who is asked by an address does not say its name.
            String broker = message.getBrokerName() == null ? "" : message.getBrokerName();
            line(lines, new MessageQueue(topic, broker, message.getQueueId()), message, false, sha256);
        }
        out.append(lines);
    }

    /** From now on, until this process ends, every request in the topic gets the reply "re: " and its body. */
    private static void reply(Map<String, String> options) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(options.get("--group") + "_reply", hook(options));
        producer.setNamesrvAddr(options.get("--namesrv"));
        producer.setInstanceName("replier-" + System.nanoTime());
        producer.start();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(null, options.get("--group"), hook(options));
        consumer.setNamesrvAddr(options.get("--namesrv"));
        consumer.setInstanceName("replier-" + System.nanoTime());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(options.get("--topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                String body = new String(message.getBody(), StandardCharsets.UTF_8);
                try {
                    Message reply = MessageUtil.createReplyMessage(message, ("re: " + body).getBytes(StandardCharsets.UTF_8));
                    producer.send(reply, 5000);
                } catch (Exception failure) {
                    failure.printStackTrace();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    private static void send(Map<String, String> options) throws Exception {
        String topic = options.get("--topic");
        int count = Integer.parseInt(options.getOrDefault("--count", "1"));
        int size = Integer.parseInt(options.getOrDefault("--body", "64"));
        int threads = Integer.parseInt(options.getOrDefault("--threads", "1"));
        // Longer than the client's own 3 s, which a busy machine may stand still for.
        int timeout = Integer.parseInt(options.getOrDefault("--timeout-ms", "15000"));
        DefaultMQProducer producer = new DefaultMQProducer(options.getOrDefault("--group", "xtask_java_producer"),
                hook(options), Boolean.parseBoolean(options.get("--traced")), null);
        producer.setNamesrvAddr(options.get("--namesrv"));
        producer.setSendMsgTimeout(timeout);
        producer.start();
        AtomicInteger next = new AtomicInteger();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        List<Future<?>> senders = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            senders.add(pool.submit(() -> {
                for (int i = next.getAndIncrement(); i < count; i = next.getAndIncrement()) {
                    sendOne(producer, topic, i, size);
                }
                return null;
            }));
        }
        for (Future<?> sender : senders) {
            sender.get();
        }
        Thread.sleep(Long.parseLong(options.getOrDefault("--linger-ms", "0")));
        producer.shutdown();
    }

    private static void sendOne(DefaultMQProducer producer, String topic, int index, int size) throws Exception {
        byte[] start = ("java-" + index).getBytes(StandardCharsets.UTF_8);
        byte[] body = Arrays.copyOf(start, Math.max(size, start.length));
        Arrays.fill(body, start.length, body.length, (byte) '.');
        Message message = new Message(topic, "java", "key-" + index, body);
        message.putUserProperty("index", String.valueOf(index));
        StringBuilder line = new StringBuilder("{");
        number(line, "index", index).append(',');
        try {
            var result = producer.send(message);
            text(line, "status", result.getSendStatus().name()).append(',');
            text(line, "msgId", result.getMsgId()).append(',');
            text(line, "offsetMsgId", result.getOffsetMsgId()).append(',');
            text(line, "broker", result.getMessageQueue().getBrokerName()).append(',');
            number(line, "queue", result.getMessageQueue().getQueueId()).append(',');
            number(line, "offset", result.getQueueOffset()).append(',');
            text(line, "error", null);
        } catch (Exception failure) {
            text(line, "status", "FAILED").append(',');
            text(line, "error", String.valueOf(failure.getMessage()));
        }
        line.append("}\n");
        synchronized (out) {
            out.append(line);
        }
    }

    /** What signs requests, or null. */
    private static RPCHook hook(Map<String, String> options) {
        String accessKey = options.get("--access-key");
        return accessKey == null ? null
                : new AclClientRPCHook(new SessionCredentials(accessKey, options.get("--secret-key")));
    }

    private static void ask(Map<String, String> options) throws Exception {
        if (asker == null) {
            asker = new NettyRemotingClient(new NettyClientConfig());
            RPCHook hook = hook(options);
            if (hook != null) {
                asker.registerRPCHook(hook);
            }
            asker.start();
        }
        NettyRemotingClient client = asker;
        var request = RemotingCommand.createRequestCommand(Integer.parseInt(options.get("--code")), null);
        Map<?, ?> fields = RemotingSerializable.fromJson(options.get("--fields"), HashMap.class);
        for (Map.Entry<?, ?> field : fields.entrySet()) {
            request.addExtField((String) field.getKey(), String.valueOf(field.getValue()));
        }
        if (!options.get("--body").isEmpty()) {
            request.setBody(options.get("--body").getBytes(StandardCharsets.UTF_8));
        }
        var answer = client.invokeSync(options.get("--address"), request, 20000);
        StringBuilder line = new StringBuilder("{");
        number(line, "code", answer.getCode()).append(',');
        text(line, "remark", answer.getRemark()).append(',');
        byte[] body = answer.getBody();
        text(line, "body", body == null ? null : new String(body, StandardCharsets.UTF_8)).append(',');
        quoted(line, "fields").append(":{");
        String comma = "";
        if (answer.getExtFields() != null) {
            for (Map.Entry<String, String> field : answer.getExtFields().entrySet()) {
                text(line.append(comma), field.getKey(), field.getValue());
                comma = ",";
            }
        }
        out.append(line.append("}}\n"));
    }

    private static StringBuilder number(StringBuilder line, String name, long value) {
        return quoted(line, name).append(':').append(value);
    }

    private static StringBuilder text(StringBuilder line, String name, String value) {
        quoted(line, name).append(':');
        return value == null ? line.append("null") : quoted(line, value);
    }

    private static StringBuilder quoted(StringBuilder line, String value) {
        line.append('"');
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                line.append('\\').append(c);
            } else if (c < ' ' || Character.isSurrogate(c)) {
                // Escaped surrogates survive also where they are not paired.
                line.append(String.format("\\u%04x", (int) c));
            } else {
                line.append(c);
            }
        }
        return line.append('"');
    }

    private static String hex(byte[] bytes) {
        char[] digits = new char[bytes.length * 2];
        for (int i = 0; i < bytes.length; i++) {
            digits[2 * i] = Character.forDigit(bytes[i] >> 4 & 15, 16);
            digits[2 * i + 1] = Character.forDigit(bytes[i] & 15, 16);
        }
        return new String(digits);
    }
}
