/**
 * The whole walk: people find each other, talk in a 1:1 and in a group of three, and see sent,
 * delivered and read; the network of one stops, everybody goes on writing, it comes back; and the
 * same with the server killed in between (R016, R020, R021, R138, R139, R141). Everything is there
 * once, in one order.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Page } from 'playwright-core';
import { Company, type Person } from './company.ts';
import {
  areSettled,
  closeDesk,
  comeOnline,
  composer,
  openListed,
  openWith,
  ready,
  type SeenRow,
  send,
  signIn,
  trespasses,
  until,
} from './person.ts';

const LATE_MS = 40_000;

describe('the walk in browsers', () => {
  const company = new Company();
  const { server } = company;
  let ana: Person;
  let bo: Person;
  let cy: Person;
  /** What was said, by conversation, in the order each one said it. */
  const said = { direct: [] as string[], group: [] as string[] };

  before(async () => {
    await company.start();
    ana = await company.join('ana', 'Ana Ruiz');
    bo = await company.join('bo', 'Bo Lind');
    cy = await company.join('cy', 'Cy Marsh');
  });

  after(() => company.stop());

  async function say(person: Person, where: 'direct' | 'group', text: string): Promise<void> {
    await send(person.page, text);
    said[where].push(text);
  }

  it('found by name; a message is sent, then delivered, then read (R020, R021)', async () => {
    await bo.page.close();
    await openWith(ana.page, bo.username);
    await watchStates(ana.page);
    await say(ana, 'direct', 'Sails up?');
    await until(ana.page, ([row]) => row?.state === 'SENT' || row?.state === 'STORED');
    bo.page = await bo.desk.context.newPage();
    await bo.page.goto('/');
    await ready(bo.page);
    await until(ana.page, ([row]) => row?.state === 'DELIVERED', { what: 'not delivered' });
    await openListed(bo.page, ana.name);
    await until(ana.page, ([row]) => row?.state === 'READ', { what: 'not read' });
    const states = await ana.page.evaluate(
      () => (window as unknown as { states: string[] }).states,
    );
    // Nobody of Bo's was connected: sent, and stored for later.
    const sent = states.map((state) => (state === 'STORED' ? 'SENT' : state));
    assert.deepEqual([...new Set(sent)], ['SENDING', 'SENT', 'DELIVERED', 'READ']);
    await say(bo, 'direct', 'Aye.');
    await until(ana.page, (rows) => rows.length === 2);
  });

  it('a group of three: all see one order, read by both is read (R020, R021)', async () => {
    await makeGroup(ana.page, 'Crew', [bo.username, cy.username]);
    await say(ana, 'group', 'All hands');
    for (const person of [bo, cy]) {
      await openListed(person.page, 'Crew');
      await until(person.page, (rows) => rows.some((row) => row.text === 'All hands'));
      await say(person, 'group', `${person.name} here`);
    }
    await until(ana.page, (rows) => rows[0]?.state === 'READ', { what: 'not read by both' });
    await agree([ana, bo, cy], said.group);
  });

  it('the network of one stops, all go on writing, it comes back: once, in one order (R138, R139)', async () => {
    bo.desk.proxy.cut();
    for (let i = 0; i < 4; i++) {
      await say(bo, 'group', `bo alone ${i}`);
      await say(cy, 'group', `cy meanwhile ${i}`);
    }
    await openListed(bo.page, ana.name);
    await openListed(ana.page, bo.name);
    for (let i = 0; i < 4; i++) {
      await say(bo, 'direct', `bo offline ${i}`);
      await say(ana, 'direct', `ana online ${i}`);
    }
    await bo.page.locator('[data-tide="4"]').waitFor();
    await comeOnline(bo.desk);
    await agree([ana, bo], said.direct);
    for (const person of [ana, bo]) await openListed(person.page, 'Crew');
    await agree([ana, bo, cy], said.group);
  });

  it('the same with kill -9 of the server in between: nothing lost, nothing twice (R016, R141)', async () => {
    bo.desk.proxy.cut();
    for (let i = 0; i < 3; i++) {
      await say(ana, 'group', `ana before ${i}`);
      await say(bo, 'group', `bo cut off ${i}`);
    }
    await server.kill();
    for (let i = 0; i < 3; i++) {
      await say(ana, 'group', `ana without a server ${i}`);
      await say(bo, 'group', `bo without both ${i}`);
      await say(cy, 'group', `cy without a server ${i}`);
    }
    await server.start();
    for (const person of [ana, bo, cy]) {
      await comeOnline(person.desk);
      await say(person, 'group', `${person.name} is back`);
    }
    const order = await agree([ana, bo, cy], said.group);
    for (const person of [ana, bo]) {
      await openListed(person.page, person === ana ? bo.name : ana.name);
    }
    await agree([ana, bo], said.direct);

    const fresh = await company.newDesk();
    const page = await signIn(fresh, bo.username);
    await openListed(page, 'Crew');
    const rows = await until(page, (now) => now.length === order.length);
    assert.deepEqual(rows.map(placeOf), order);
    await closeDesk(fresh);
  });

  it('nothing was asked of others and no policy was broken (case 48, R135)', () => {
    assert.deepEqual(trespasses, []);
  });
});

/** All hold the same rows at the same places: each text once, each one's own in the order said. */
async function agree(people: readonly Person[], texts: readonly string[]): Promise<string[]> {
  const orders: string[][] = [];
  for (const { page } of people) {
    const rows = await until(page, (now) => now.length >= texts.length && areSettled(now), {
      ms: LATE_MS,
      what: `not ${texts.length} rows`,
    });
    orders.push(rows.map(placeOf));
    assert.deepEqual(rows.map((row) => row.text).toSorted(), texts.toSorted());
    for (const each of people) {
      const own = (all: readonly string[]): string[] =>
        all.filter((text) => text.startsWith(`${each.name.split(' ')[0]?.toLowerCase()} `));
      assert.deepEqual(own(rows.map((row) => row.text)), own(texts));
    }
  }
  for (const order of orders) assert.deepEqual(order, orders[0]);
  return orders[0] ?? [];
}

function placeOf(row: SeenRow): string {
  return `${row.sequence} ${row.key} ${row.text}`;
}

/** Notes each state that the first own row goes through. */
async function watchStates(page: Page): Promise<void> {
  await page.evaluate(() => {
    const notes = window as unknown as { states: string[] };
    notes.states = [];
    const note = (): void => {
      const state = document.querySelector<HTMLElement>('.row.mine')?.dataset['state'];
      if (state !== undefined && notes.states.at(-1) !== state) notes.states.push(state);
    };
    const column = document.querySelector('.column');
    if (column === null) throw new Error('no column');
    new MutationObserver(note).observe(column, {
      childList: true,
      subtree: true,
      attributeFilter: ['data-state'],
    });
  });
}

async function makeGroup(page: Page, name: string, members: readonly string[]): Promise<void> {
  await page.getByRole('button', { name: 'New conversation' }).first().click();
  const people = page.getByRole('searchbox', { name: 'People', exact: true });
  for (const member of members) {
    await people.fill(member);
    await page.locator('.person.pick', { hasText: member }).click();
  }
  await page.getByLabel(/^Group name/).fill(name);
  await page.getByRole('button', { name: /^Make the group/ }).click();
  await composer(page).waitFor();
}
