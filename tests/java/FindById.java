// Asks brokers for messages by their unique key, as Apache's own admin tool does.
// Arguments: name servers, topic, seconds to wait for each, keys. Prints for each key one line:
// key, milliseconds since 1970 that Java reads out of the key, broker's store time, queue id, queue offset.

import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.MQAdminImpl;
import org.apache.rocketmq.client.impl.MQClientManager;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

public final class FindById {
    public static void main(String[] args) {
        int status = 0;
        java.io.PrintStream out = System.out;
        System.setOut(System.err);
        try {
            DefaultMQAdminExt admin = new DefaultMQAdminExt();
            admin.setNamesrvAddr(args[0]);
            admin.start();
            // What the admin's own viewMessage ends in, after it took the key for an offset message id in vain.
            MQAdminImpl query = MQClientManager.getInstance().getOrCreateMQClientInstance(admin).getMQAdminImpl();
            long deadline = System.currentTimeMillis() + 1000 * Long.parseLong(args[2]);
            for (int i = 3; i < args.length; i++) {
                MessageExt found = find(query, args[1], args[i], deadline);
                long time = MessageClientIDSetter.getNearlyTimeFromID(args[i]).getTime();
                out.println(args[i] + " " + time + " " + found.getStoreTimestamp() + " " + found.getQueueId() + " "
                    + found.getQueueOffset());
            }
            out.flush();
        } catch (Throwable failure) {
            failure.printStackTrace();
            status = 1;
        }
        Runtime.getRuntime().halt(status);
    }

    // Brokers index a message some time after they stored it.
    private static MessageExt find(MQAdminImpl query, String topic, String key, long deadline) throws Exception {
        while (true) {
            try {
                MessageExt found = query.queryMessageByUniqKey(topic, key);
                if (found != null) {
                    return found;
                }
            } catch (MQClientException none) {
                if (System.currentTimeMillis() > deadline) {
                    throw none;
                }
            }
            if (System.currentTimeMillis() > deadline) {
                throw new IllegalStateException("no message with key " + key);
            }
            Thread.sleep(100);
        }
    }
}
