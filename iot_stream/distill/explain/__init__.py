"""Why a round changed the student: in numbers (`why`), from windows (`account`), and in words (`words`)."""
