/** The smallest DNS server that there is: it says 192.0.2.53 to every question. `node resolver.ts PORT` */
import { createSocket } from 'node:dgram';

const socket = createSocket('udp4', (question, { address, port }) => {
  const end = question.indexOf(0, 12) + 5;
  const header = Buffer.from([...question.subarray(0, 2), 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, 53]);
  socket.send(Buffer.concat([header, question.subarray(12, end), answer]), port, address);
});
socket.bind(Number(process.argv[2] ?? 5353), '127.0.0.1');
