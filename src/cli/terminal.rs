//! The terminal: its width, raw input and passwords without echo.

use super::error::Error;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};

/// Columns of the terminal that the standard output goes to; none when it goes elsewhere.
pub fn width() -> Option<usize> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| tcgetwinsize(&out).ok())??;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// Whether there is a person to ask.
pub fn interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The terminal with changed settings; dropping it restores them, on every way out.
pub struct Changed {
    before: Termios,
}

impl Changed {
    /// Every byte goes through as it is typed, signals and all: for a guest's console.
    ///
    /// # Errors
    /// [`Error::Failed`] when the standard input is not a terminal.
    pub fn raw() -> Result<Self, Error> {
        Self::change(Termios::make_raw)
    }

    /// Typed text is not shown, and Ctrl-C arrives as a byte, so that echo comes back whatever happens.
    fn silent() -> Result<Self, Error> {
        Self::change(|settings| {
            settings.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
            settings.special_codes[SpecialCodeIndex::VMIN] = 1;
            settings.special_codes[SpecialCodeIndex::VTIME] = 0;
        })
    }

    fn change(change: impl FnOnce(&mut Termios)) -> Result<Self, Error> {
        let failed = |e: rustix::io::Errno| Error::because("setting up the terminal", &e);
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut after = before.clone();
        change(&mut after);
        tcsetattr(io::stdin(), OptionalActions::Now, &after).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Asks for a line of text; shows the question on the standard error.
///
/// # Errors
/// [`Error::Usage`] when there is nobody to ask.
pub fn ask(question: &str) -> Result<String, Error> {
    prompt(question)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|e| Error::because("reading the answer", &e))?;
    Ok(line.trim().to_owned())
}

/// Asks for a password without showing it.
///
/// # Errors
/// [`Error::Usage`] when there is nobody to ask; [`Error::Interrupted`] on Ctrl-C.
pub fn ask_password(question: &str) -> Result<String, Error> {
    prompt(question)?;
    let typed = {
        let _silent = Changed::silent()?;
        read_password(&mut io::stdin().lock())
    };
    super::output::note("");
    typed
}

fn prompt(question: &str) -> Result<(), Error> {
    if !interactive() {
        return Err(Error::Usage(format!("there is no terminal to ask for the {question}; give it as an option")));
    }
    let _ = write!(io::stderr(), "{question}: ");
    let _ = io::stderr().flush();
    Ok(())
}

/// Reads one line of bytes as typed, with the keys that people correct themselves with.
fn read_password(input: &mut impl Read) -> Result<String, Error> {
    let mut typed: Vec<u8> = Vec::new();
    let mut byte = [0];
    loop {
        let read = input.read(&mut byte).map_err(|e| Error::because("reading the password", &e))?;
        match byte[0] {
            _ if read == 0 => break,
            b'\r' | b'\n' | 0x04 => break,
            0x03 => return Err(Error::Interrupted("interrupted".to_owned())),
            0x15 => typed.clear(),
            0x08 | 0x7f => {
                // A character of UTF-8 goes as a whole.
                while typed.pop().is_some_and(|b| b & 0xc0 == 0x80) {}
            }
            other => typed.push(other),
        }
    }
    String::from_utf8(typed).map_err(|_| Error::Usage("the password is not valid UTF-8".to_owned()))
}

/// The first line of the standard input, for `--password-stdin`.
///
/// # Errors
/// [`Error::Usage`] when it is empty.
pub fn password_from_stdin() -> Result<String, Error> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|e| Error::because("reading the password", &e))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Error::Usage("--password-stdin: the standard input is empty".to_owned()));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_can_be_corrected_while_it_is_typed() {
        let read = |bytes: &[u8]| read_password(&mut &*bytes);
        assert_eq!(read(b"secret\r").unwrap(), "secret");
        assert_eq!(read("se\u{e9}\u{7f}cret\n".as_bytes()).unwrap(), "secret");
        assert_eq!(read(b"wrong\x15right\nrest").unwrap(), "right");
        assert_eq!(read(b"no newline").unwrap(), "no newline");
        assert!(matches!(read(b"abc\x03"), Err(Error::Interrupted(_))));
        assert!(matches!(read(b"\xff\n"), Err(Error::Usage(_))));
    }
}
