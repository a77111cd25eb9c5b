//! Rows whose masks are read by name.

/// Declares a row: `NAMES` has its columns in order, `read` asks for them in that order, and
/// `row.pc()` is the mask of column `pc`.
macro_rules! columns {
    ($(#[$doc:meta])* $row:ident: $($column:ident)+) => {
        $(#[$doc])*
        struct $row<F> {
            $($column: F),+
        }

        #[allow(dead_code)]
        impl<F: Clone> $row<F> {
            const NAMES: &'static [&'static str] = &[$(stringify!($column)),+];

            fn read(mut next: impl FnMut(&'static str) -> F) -> Self {
                Self { $($column: next(stringify!($column))),+ }
            }

            fn to_vec(&self) -> Vec<F> {
                vec![$(self.$column()),+]
            }

            $(fn $column(&self) -> F { self.$column.clone() })+
        }
    };
}

pub(super) use columns;
