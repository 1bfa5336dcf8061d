/** How transcripts write what replicas hold, do and say. */
import { decodeConfiguration } from './configuration.ts';
import type { Effects } from './contract.ts';
import type { Configuration, Entry, Message, SnapshotDescriptor } from './message.ts';
import type { SimulatedReplica } from './simulated-replica.ts';

/** `3/2:text`: index 3 of term 2. */
export function textOfEntry(entry: Entry): string {
  return `${entry.index}/${entry.term}:${contentsOf(entry)}`;
}

export function textOfMessage(message: Message): string {
  const head = `${message.from}->${message.to} ${message.kind} term=${message.term}`;
  switch (message.kind) {
    case 'pre-vote':
      return `${head} log=${message.lastIndex}/${message.lastTerm}`;
    case 'vote': {
      const log = `${head} log=${message.lastIndex}/${message.lastTerm}`;
      return message.isTransfer ? `${log} transfer` : log;
    }
    case 'pre-vote-reply':
    case 'vote-reply':
      return `${head} ${message.isGranted ? 'granted' : 'refused'}`;
    case 'append': {
      const after = `after ${message.previousIndex}/${message.previousTerm}`;
      const entries = message.entries.map(textOfEntry).join(' ');
      return `${head} ${after} [${entries}] commit=${message.commit}`;
    }
    case 'append-reply':
      return `${head} through ${message.index}`;
    case 'append-rejection':
      return `${head} not after ${message.rejectedIndex}, try ${message.hintIndex}/${message.hintTerm}`;
    case 'heartbeat':
      return `${head} commit=${message.commit} round=${message.round}`;
    case 'heartbeat-reply':
      return `${head} round=${message.round}`;
    case 'snapshot':
      return `${head} ${textOfSnapshot(message.snapshot)}`;
    case 'timeout-now':
    case 'stale-term':
      return head;
  }
}

export function textOfEffects(id: number, effects: Effects): string[] {
  const { hard, truncateFrom, append, installSnapshot, committed, soft } = effects;
  const lines: string[] = [];
  if (soft !== undefined) lines.push(`is ${soft.role} term=${soft.term} leader=${soft.leader}`);
  effects.sendNow.forEach((message) => void lines.push(`sends ${textOfMessage(message)}`));
  if (hard !== undefined)
    lines.push(`writes term=${hard.term} vote=${hard.vote} commit=${hard.commit}`);
  if (truncateFrom !== undefined) lines.push(`truncates from ${truncateFrom}`);
  if (installSnapshot !== undefined) lines.push(`installs ${textOfSnapshot(installSnapshot)}`);
  if (append.length > 0) lines.push(`appends ${append.map(textOfEntry).join(' ')}`);
  effects.sendAfterPersist.forEach(
    (message) => void lines.push(`then sends ${textOfMessage(message)}`),
  );
  if (committed !== undefined) lines.push(`applies ${committed.from}..${committed.to}`);
  for (const { context, index } of effects.reads) lines.push(`reads ${context} at ${index}`);
  for (const context of effects.refusedReads) lines.push(`refuses read ${context}`);
  return lines.map((line) => `${id} ${line}`);
}

export function textOfStatus(replica: SimulatedReplica): string {
  if (replica.raft === undefined) return `${replica.id} down`;
  const status = replica.raft.status();
  const { role, term, leader, last, persisted, commit, applied } = status;
  const log = `last=${last} persisted=${persisted} commit=${commit} applied=${applied}`;
  const line = `${status.id} ${role} term=${term} leader=${leader} ${log} ${textOfConfiguration(status.configuration)}`;
  const followers = status.followers.map(
    ({ id, state, match, next }) => `\n  ${id} ${state} match=${match} next=${next}`,
  );
  return `${line}${followers.join('')}`;
}

function textOfSnapshot({ index, term, configuration }: SnapshotDescriptor): string {
  return `state at ${index}/${term} ${textOfConfiguration(configuration)}`;
}

function textOfConfiguration({ voters, outgoing, learners }: Configuration): string {
  const joint = outgoing.length === 0 ? '' : `+${outgoing.join(',')}`;
  const listening = learners.length === 0 ? '' : ` learners=${learners.join(',')}`;
  return `voters=${voters.join(',')}${joint}${listening}`;
}

function contentsOf(entry: Entry): string {
  if (entry.kind === 'claim') return 'claim';
  if (entry.kind === 'command') return String.fromCharCode(...entry.payload);
  return `(${textOfConfiguration(decodeConfiguration(entry.payload)).replace(' ', ';')})`;
}
