/** Who and what the scripted workspace holds. Invented people, fixed times. */
import type { ConversationId, UserId } from '@parley/sdk';

export interface ScriptedMessage {
  readonly from: UserId;
  readonly text: string;
  readonly minutes: number;
  readonly edited?: boolean;
  readonly deleted?: boolean;
}

export interface ScriptedConversation {
  readonly id: ConversationId;
  readonly kind: 'direct' | 'group';
  readonly name: string;
  readonly members: readonly UserId[];
  readonly messages: readonly ScriptedMessage[];
  readonly unread: number;
  readonly older: number;
}

const id = (prefix: string, tail: string): string => `${prefix}_${'01h5x0'.padEnd(22, '0')}${tail}`;
export const ME: UserId = id('usr', '0g0d');
const ANA = id('usr', '0a03');
const BO = id('usr', '1c24');
const IVO = id('usr', '2d2a');
const MIRA = id('usr', '0405');
const NOOR = id('usr', '1687');
const YUKI = id('usr', '00s1');

export const USERS: Readonly<Record<UserId, { username: string; displayName: string }>> = {
  [ME]: { username: 'jo', displayName: 'Jo Marsh' },
  [ANA]: { username: 'ana', displayName: 'Ana Ruiz' },
  [BO]: { username: 'bo.lind', displayName: 'Bo Lindqvist' },
  [IVO]: { username: 'ivo', displayName: 'Ivo Petrović' },
  [MIRA]: { username: 'mira', displayName: 'Mira Okafor' },
  [NOOR]: { username: 'noor', displayName: 'נור אלון' },
  [YUKI]: { username: 'yuki', displayName: '結城 ゆき' },
};

/** 12 May 2026, 00:00 UTC. */
export const DAY_MS: number = Date.UTC(2026, 4, 12);

const at = (
  minutes: number,
  from: UserId,
  text: string,
  more: Partial<ScriptedMessage> = {},
): ScriptedMessage => ({ from, text, minutes, ...more });

export const CONVERSATIONS: readonly ScriptedConversation[] = [
  {
    id: id('cnv', '0a0b'),
    kind: 'direct',
    name: '',
    members: [ME, ANA],
    unread: 0,
    older: 400,
    messages: [
      at(
        -420,
        ANA,
        'The harbour office called. They want the tide tables for June before they give us the berth.',
      ),
      at(-418, ME, 'All of June?'),
      at(
        -417,
        ANA,
        'All of June. And the chart of the north channel, the one with the new buoys: https://charts.example/north-channel',
      ),
      at(-415, ANA, '🙄'),
      at(
        -402,
        ME,
        'I have the chart. The tables I must compute: the old ones still use the gauge at the pier that broke in March, so everything after the 9th is off by some twenty minutes.\n\nGive me until tomorrow noon.',
        { edited: true },
      ),
      at(-401, ANA, 'Thank you.'),
      at(580, ANA, 'Are the tables in?'),
      at(580.5, ANA, 'I need them by noon.'),
      at(581, ME, 'Sending them.'),
      at(581.2, ME, 'And the chart.'),
    ],
  },
  {
    id: id('cnv', '21m1'),
    kind: 'group',
    name: 'Crew 48',
    members: [ME, ANA, BO, IVO, MIRA],
    unread: 3,
    older: 120,
    messages: [
      at(-300, BO, 'Who takes the early watch on Friday?'),
      at(-299, ME, 'I can, until eight.'),
      at(-270, MIRA, 'Then I come at eight and bring the bread.'),
      at(-269, MIRA, 'And coffee.'),
      at(-200, IVO, 'This one is wrong, sorry', { deleted: true }),
      at(-199, IVO, 'Wind north-west, 4 to 5, later 6. We reef before the point.'),
      at(560, BO, 'Sails up?'),
      at(563, IVO, 'Sails up.'),
      at(563.5, BO, 'Aye. Lines off at ten sharp; whoever is late swims.'),
    ],
  },
  {
    id: id('cnv', '3cc7'),
    kind: 'direct',
    name: '',
    members: [ME, IVO],
    unread: 0,
    older: 10,
    messages: [at(530, IVO, 'See you at the pier'), at(533, ME, 'See you')],
  },
  {
    id: id('cnv', '3dd7'),
    kind: 'direct',
    name: '',
    members: [ME, NOOR],
    unread: 1,
    older: 4,
    messages: [
      at(400, ME, 'Did the parts for the winch come?'),
      at(470, NOOR, 'כן, הכול הגיע אתמול: 12 חלקים, כולל Harken 40.2 החדש.'),
    ],
  },
  {
    id: id('cnv', '3ee7'),
    kind: 'direct',
    name: '',
    members: [ME, YUKI],
    unread: 0,
    older: 0,
    messages: [at(100, YUKI, '写真をありがとう！とてもきれい。'), at(101, ME, '👍')],
  },
  {
    id: id('cnv', '3ff7'),
    kind: 'group',
    name: 'Night watch, north basin, until the end of the season',
    members: [ME, MIRA, BO],
    unread: 0,
    older: 3,
    messages: [at(-2000, MIRA, 'All quiet.')],
  },
];
