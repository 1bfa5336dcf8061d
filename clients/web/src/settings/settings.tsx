/** Settings: profile, appearance, where one is signed in, sign-out. */
import type { Session } from '@parley/sdk';
import { type SubmitEvent, type ReactNode, useCallback, useEffect, useRef, useState } from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { Sheet } from '../chat/sheet.tsx';
import { useKeptFocus } from '../chat/use-kept-focus.ts';
import { useClient, useStore } from '../chat/use-store.ts';
import { fieldText } from '../text/form-text.ts';
import { reasonOf, sentenceOf } from '../text/reason-text.ts';
import { shortOf } from '../text/times.ts';
import { chooseTheme, readTheme, THEMES, type Theme } from './theme.ts';

interface SettingsProps {
  readonly close: () => void;
  readonly help: () => void;
  readonly signOut: () => void;
}

export function Settings(props: SettingsProps): ReactNode {
  const body = useRef<HTMLDivElement>(null);
  useKeptFocus(body);
  return (
    <Sheet title="Settings" close={props.close}>
      <div className="sheet-body" ref={body} tabIndex={-1}>
        <Profile />
        <Appearance />
        <Sessions />
        <button type="button" className="link-button" onClick={props.help}>
          Keyboard
        </button>
        <SignOut signOut={props.signOut} />
      </div>
    </Sheet>
  );
}

function Profile(): ReactNode {
  const client = useClient();
  const me = useStore(client.me);
  const [note, setNote] = useState<string | undefined>(undefined);
  const save = async (e: SubmitEvent<HTMLFormElement>): Promise<void> => {
    e.preventDefault();
    const displayName = fieldText(e.currentTarget, 'displayName').trim();
    try {
      await client.me.update({ displayName });
      setNote('Saved.');
    } catch (error) {
      setNote(sentenceOf(reasonOf(error)));
    }
  };
  return (
    <form className="section" onSubmit={(e) => void save(e)}>
      <h3>Profile</h3>
      <div className="person-line">
        <FlagAvatar id={me.userId} />
        <div className="field grow">
          <label htmlFor="display-name">Name that others see</label>
          <input
            id="display-name"
            className="input"
            name="displayName"
            dir="auto"
            maxLength={100}
            autoComplete="name"
            // A name that arrives later fills the field, a typed one stays.
            key={me.displayName}
            defaultValue={me.displayName ?? ''}
          />
        </div>
        <button type="submit" className="button">
          Save
        </button>
      </div>
      <p className="note" role="status">
        {note ?? (me.username === undefined ? '' : `@${me.username}`)}
      </p>
    </form>
  );
}

const THEME_NAMES: Readonly<Record<Theme, string>> = {
  system: 'As the system',
  light: 'Light',
  dark: 'Dark',
};

function Appearance(): ReactNode {
  const [theme, setTheme] = useState(readTheme);
  return (
    <fieldset className="section plain">
      <legend>Appearance</legend>
      <div className="choice">
        {THEMES.map((choice) => (
          <label key={choice}>
            <input
              type="radio"
              name="theme"
              checked={theme === choice}
              onChange={() => {
                chooseTheme(choice);
                setTheme(choice);
              }}
            />
            <span>{THEME_NAMES[choice]}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Sessions(): ReactNode {
  const client = useClient();
  const [sessions, setSessions] = useState<readonly Session[] | undefined>(undefined);
  const [trouble, setTrouble] = useState<string | undefined>(undefined);
  const load = useCallback(async () => {
    try {
      setSessions(await client.devices.sessions());
      setTrouble(undefined);
    } catch (error) {
      setTrouble(sentenceOf(reasonOf(error)));
    }
  }, [client]);
  useEffect(() => void load(), [load]);
  const revoke = async (sessionId: string): Promise<void> => {
    try {
      await client.devices.revoke(sessionId);
      await load();
    } catch (error) {
      setTrouble(sentenceOf(reasonOf(error)));
    }
  };
  return (
    <section className="section" aria-labelledby="sessions-title">
      <h3 id="sessions-title">Signed in</h3>
      {trouble !== undefined && (
        <p className="error" role="alert">
          {trouble}{' '}
          <button type="button" className="link-button" onClick={() => void load()}>
            Retry
          </button>
        </p>
      )}
      <ul className="card-list" aria-busy={sessions === undefined}>
        {(sessions ?? []).map((session) => (
          <li className="person" key={session.sessionId} data-session={session.sessionId}>
            <span className="stack">
              <span className="name clip" dir="auto">
                {session.deviceName || session.platform || 'A device'}
              </span>
              <span className="under">
                {session.current === true
                  ? 'This device'
                  : session.lastSeenTimeMs === undefined
                    ? ''
                    : `Last seen ${shortOf(session.lastSeenTimeMs, Date.now())}`}
              </span>
            </span>
            {session.current !== true && (
              <button
                type="button"
                className="button small danger"
                aria-label={`Sign out ${session.deviceName || 'this device'}`}
                onClick={() => void revoke(session.sessionId)}
              >
                Sign out
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function SignOut({ signOut }: { signOut: () => void }): ReactNode {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) {
    return (
      <button type="button" className="button danger" onClick={() => setAsking(true)}>
        Sign out of this device
      </button>
    );
  }
  return (
    <div className="section" role="group" aria-label="Sign out?">
      <p>Everything kept on this device is removed, unsent messages and drafts too.</p>
      <div className="picked-actions">
        <button type="button" className="button" autoFocus onClick={() => setAsking(false)}>
          Stay
        </button>
        <button type="button" className="button danger" onClick={signOut}>
          Sign out
        </button>
      </div>
    </div>
  );
}
