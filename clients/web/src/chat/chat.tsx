/** The signed-in shell: three regions beside each other, one at a time on a phone. */
import type { Client, Conversation } from '@parley/sdk';
import {
  type ReactNode,
  type RefObject,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { Icon } from '../art/icons.tsx';
import { InfoBody } from '../info/info-pane.tsx';
import { NewConversation } from '../info/new-conversation.tsx';
import { Help } from '../keys/help.tsx';
import { ListPane } from '../list/list-pane.tsx';
import { Settings } from '../settings/settings.tsx';
import { LiveRegion } from '../status/live-region.tsx';
import { StatusTab } from '../status/status-tab.tsx';
import { ConversationPane } from './conversation-pane.tsx';
import { closeConversation, openConversation, useRoute } from './route.ts';
import { Sheet } from './sheet.tsx';
import { useShellKeys } from './use-shell-keys.ts';
import { ClientProvider, useStore } from './use-store.ts';

interface ChatProps {
  readonly client: Client;
  readonly signOut: () => void;
  /** Another tab has taken over; this one takes back. */
  readonly takeOver: () => void;
}

type Open = 'new' | 'settings' | 'help' | undefined;

export function Chat({ client, signOut, takeOver }: ChatProps): ReactNode {
  const selected = useRoute();
  const conversation = useMemo(
    () => (selected === undefined ? undefined : client.conversation(selected)),
    [client, selected],
  );
  const [open, setOpen] = useState<Open>(undefined);
  const [isInfoOpen, setInfoOpen] = useState(false);
  const isWide = useIsWide();
  const findField = useRef<HTMLInputElement>(null);
  const leave = useLeave(selected);
  useShellKeys({ client, selected, findField, help: () => setOpen('help') });
  useUnreadTitle(client);
  useFirstFocus(findField);
  const message = useCallback(
    (userId: string) => openConversation(client.direct(userId).id),
    [client],
  );
  const closeInfo = (): void => setInfoOpen(false);
  const hasInfo = isInfoOpen && conversation !== undefined;

  return (
    <ClientProvider value={client}>
      <div
        className={hasInfo && isWide ? 'shell with-info' : 'shell'}
        data-pane={selected === undefined ? 'list' : 'talk'}
      >
        <nav className="region region-list" data-region="list" aria-label="Conversations">
          <ListPane
            selected={selected}
            findField={findField}
            open={openConversation}
            message={message}
            start={() => setOpen('new')}
            settings={() => setOpen('settings')}
          />
          {selected === undefined && !isWide && <StatusTab takeOver={takeOver} />}
        </nav>
        <main className="region region-main" data-region="talk">
          {conversation === undefined ? (
            <NothingOpen start={() => setOpen('new')} />
          ) : (
            <ConversationPane
              key={conversation.id}
              conversation={conversation}
              isInfoOpen={hasInfo}
              toggleInfo={() => setInfoOpen(!isInfoOpen)}
              leave={leave}
            />
          )}
          {(selected !== undefined || isWide) && <StatusTab takeOver={takeOver} />}
        </main>
        {hasInfo && isWide && <InfoRegion conversation={conversation} close={closeInfo} />}
      </div>
      {hasInfo && !isWide && (
        <Sheet title="Details" side close={closeInfo}>
          <InfoBody conversation={conversation} key={conversation.id} />
        </Sheet>
      )}
      <Sheets open={open} show={setOpen} signOut={signOut} />
      <LiveRegion conversationId={selected} />
    </ClientProvider>
  );
}

interface InfoRegionProps {
  readonly conversation: Conversation;
  readonly close: () => void;
}

function InfoRegion({ conversation, close }: InfoRegionProps): ReactNode {
  return (
    <aside className="region region-info" data-region="info" aria-label="Details">
      <header className="head">
        <h2 className="brand">Details</h2>
        <button type="button" className="icon-button" aria-label="Close details" onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      <InfoBody conversation={conversation} key={conversation.id} />
    </aside>
  );
}

interface SheetsProps {
  readonly open: Open;
  readonly show: (open: Open) => void;
  readonly signOut: () => void;
}

function Sheets({ open, show, signOut }: SheetsProps): ReactNode {
  const close = (): void => show(undefined);
  switch (open) {
    case 'new':
      return <NewConversation close={close} open={openConversation} />;
    case 'settings':
      return <Settings close={close} help={() => show('help')} signOut={signOut} />;
    case 'help':
      return <Help close={close} />;
    case undefined:
      return null;
  }
}

/** Back to the list, focus on the conversation one came from. */
function useLeave(selected: string | undefined): () => void {
  return useCallback(() => {
    const row = document.querySelector<HTMLElement>(`[data-conversation="${selected ?? ''}"]`);
    closeConversation();
    // On a phone the list has just become visible.
    requestAnimationFrame(() => row?.focus());
  }, [selected]);
}

const WIDE = '(min-width: 1280px)';

function subscribeWide(fn: () => void): () => void {
  const query = matchMedia(WIDE);
  query.addEventListener('change', fn);
  return () => query.removeEventListener('change', fn);
}

function useIsWide(): boolean {
  return useSyncExternalStore(subscribeWide, () => matchMedia(WIDE).matches);
}

function useUnreadTitle(client: Client): void {
  const { messages } = useStore(client.unread);
  useEffect(() => {
    document.title = messages === 0 ? 'Parley' : `(${messages}) Parley`;
  }, [messages]);
}

/** A conversation takes the focus by itself; without one it begins at the find box. */
function useFirstFocus(findField: RefObject<HTMLInputElement | null>): void {
  useEffect(() => {
    const isNowhere = document.activeElement === document.body;
    if (isNowhere && !matchMedia('(pointer: coarse)').matches) findField.current?.focus();
  }, [findField]);
}

/** Seven flags; drawn from ids like any other. */
const HOIST = ['0000', '0101', '01g3', '02a4', '03c5', '0556', '0a07'];

function NothingOpen({ start }: { start: () => void }): ReactNode {
  return (
    <div className="quiet">
      <div className="hoist">
        {HOIST.map((id) => (
          <FlagAvatar key={id} id={id} small />
        ))}
      </div>
      <h2>No conversation is open</h2>
      <p>Choose one, or start a new one. Ctrl K finds people by name.</p>
      <button type="button" className="button" onClick={start}>
        New conversation
      </button>
    </div>
  );
}
