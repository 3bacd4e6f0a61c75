// Publishes one event from Node: "somebody asked that Millstream follow this repository".
//
//   npm install kafkajs@2.2.4
//   node register_repository.mjs 127.0.0.1:29092 git.example.com/team/app https://git.example.com/team/app.git
//
// What every language has to do alike: the id (a hash), the key (that id in decimal), the partitioner (murmur2 of the key, as
// in the Java client), and the CloudEvents headers.
import { createHash, randomUUID } from "node:crypto";
import { Kafka, Partitioners } from "kafkajs";

const [bootstrap, name, cloneUrl] = process.argv.slice(2);
if (!cloneUrl) {
  console.error("usage: node register_repository.mjs BOOTSTRAP HOST/PATH CLONE_URL");
  process.exit(2);
}

// The first 8 bytes of the SHA-256, shifted right by 11: a whole number that every language can hold.
const stableId = (text) => createHash("sha256").update(text, "utf8").digest().readBigUInt64BE(0) >> 11n;

const id = stableId(name); // name is host/path: host in lower case, no scheme, no ".git"
const type = "millstream.repository.registered";
const event = {
  key: id.toString(),
  value: JSON.stringify({ repository_id: Number(id), name, clone_url: cloneUrl }),
  headers: {
    ce_specversion: "1.0",
    ce_id: randomUUID(), // the same id again is the same event again: derive it where a retry could publish twice
    ce_source: "//git.example.com/inventory",
    ce_type: type,
    ce_dataschema: `millstream://schemas/${type}/v1`,
    ce_time: new Date().toISOString(),
    ce_subject: id.toString(),
    "content-type": "application/json",
  },
};

const kafka = new Kafka({ clientId: "inventory", brokers: bootstrap.split(",") });
// DefaultPartitioner of kafkajs 2 is the Java client's. LegacyPartitioner is not: it would put the key elsewhere.
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true });
await producer.connect();
const [place] = await producer.send({ topic: "millstream.repositories", acks: -1, messages: [event] });
await producer.disconnect();
console.log(`millstream.repositories/${place.partition}@${place.baseOffset}`);
